"""Ingestion jobs in Dagster: a run for each try, and the sensor that asks for them."""
