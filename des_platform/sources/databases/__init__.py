"""Tables of source databases as sources of files: rows claimed, recorded, and told what became of them."""
