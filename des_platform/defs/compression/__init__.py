"""Stage 2 in Dagster: the compressed_objects asset."""
