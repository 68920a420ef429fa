"""Benchmarks of mvc against its peers; each module is a program that prints a Markdown table."""
