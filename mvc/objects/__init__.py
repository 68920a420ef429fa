"""The object model: frozen dataclasses and their canonical bytes. No store, no files."""
