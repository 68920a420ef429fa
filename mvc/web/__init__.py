"""Pages: HTML from what operations return. Each is one file that needs no network."""
