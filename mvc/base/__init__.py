"""What every other package may use: errors, ids, dtypes, files, progress, threads."""
