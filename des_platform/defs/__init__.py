"""Dagster, thin: partitions, resources, and a folder per stage with assets, checks and sensors.

The stage modules hold factories; the Dataset component calls them with each dataset it finds in `datasets/`. Every
asset asks the platform resource, calls one function of a room below, and reports.
"""
