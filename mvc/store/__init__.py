"""Objects in packs: write, find, read, verify. Knows nothing of branches or files."""
