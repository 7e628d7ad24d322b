"""Stage 1: where files come from, and how they enter the catalogue."""
