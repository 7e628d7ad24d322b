"""DataHubs in Dagster: an asset by month for each, and the sensor that requests its runs."""
