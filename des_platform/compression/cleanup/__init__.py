"""The clean-up of originals: a file's own copy of ours is proven, then the object that it arrived as is deleted.

The one place of the platform that deletes what it did not make. A dataset's policy is `keep` unless its definition says
otherwise; what goes is planned first, and can be withdrawn until it has gone. `copies` proves, `originals` deletes,
`removal` does one after the other for a day, `audit` looks back at what was done.
"""
