"""The generator: files that look like a feed's, from a schema and a seed; the same arguments give the same bytes."""
