"""A data platform on Dagster for object stores that drown in small files and bulky ones."""
