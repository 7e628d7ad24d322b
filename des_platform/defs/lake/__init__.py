"""Stage 3 in Dagster: the table asset."""
