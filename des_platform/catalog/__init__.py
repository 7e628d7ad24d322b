"""The catalogue in PostgreSQL: tables, migrations, inbox, files, leases, containers, dead letters."""
