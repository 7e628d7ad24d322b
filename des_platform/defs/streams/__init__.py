"""Stream jobs in Dagster: an asset for each side, and the sensor that works on it."""
