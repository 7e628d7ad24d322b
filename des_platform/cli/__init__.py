"""The `des` command, one module a group."""
