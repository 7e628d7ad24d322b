"""A DataHub as a source: its table of files, its REST interface, and the taking of its files into a landing bucket."""
