"""DES version 2: one immutable object that is an archive with one-page lookups and a Parquet file of its names."""
