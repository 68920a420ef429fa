"""Runnable examples: fetching real models, the demonstration, use from Python."""
