"""Stage 1 in Dagster: the raw_files asset, and the sensors that fill the inbox and request runs."""
