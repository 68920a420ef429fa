"""Arrays of words to bytes and back: pure functions, no files, no store."""
