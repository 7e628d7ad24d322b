"""The lake API: tables, partitions, schema versions, data sources and ingestion jobs over HTTP."""
