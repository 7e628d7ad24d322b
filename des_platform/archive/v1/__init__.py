"""DES version 1, to the byte: one index at the end, of every name and where its file lies."""
