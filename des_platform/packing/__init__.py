"""Stage 4: from catalogued files to published archives."""
