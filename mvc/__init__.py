"""mvc versions models the way git versions source (public names only; see docs/api.md)."""
