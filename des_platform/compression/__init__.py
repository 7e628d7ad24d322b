"""Stage 2: from catalogued files to proven compressed objects."""
