"""Upkeep of tables: small files made large, old snapshots forgotten, what nobody names removed, manifests merged.

Each job plans first and says what it expects; doing it is another call. Whatever is killed, wherever, leaves a table
that reads the same: files are written before a commit names them, and removed only after no commit names them any
more; what a killed job leaves behind is found as an orphan.
"""
