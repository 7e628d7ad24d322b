"""The marker: names and shards for the rows of source tables."""
