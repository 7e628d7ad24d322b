"""Stage 3: from catalogued files to Iceberg tables."""
