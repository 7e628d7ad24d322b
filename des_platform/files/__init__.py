"""One file's original bytes, wherever they live now; and archives by address, as files and as a file system."""
