"""Everything `des demo` starts: servers, input, progress."""
