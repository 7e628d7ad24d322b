"""HTTP: what the platform serves to machines."""
