"""Stage 4 in Dagster: the des_shards asset."""
