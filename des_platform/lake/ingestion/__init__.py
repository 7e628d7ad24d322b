"""Ingestion jobs: a data source's files into a table of the lake, batch by batch, each file exactly once."""
