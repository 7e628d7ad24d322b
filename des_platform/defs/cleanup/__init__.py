"""The clean-up of originals in Dagster: the originals_removed asset, for datasets whose policy is not `keep`."""
