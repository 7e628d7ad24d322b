"""`des datahub`: files of a DataHub, a month at a time."""
