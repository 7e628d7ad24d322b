"""The upkeep of tables in Dagster: what is compacted, forgotten, removed and merged, every night."""
