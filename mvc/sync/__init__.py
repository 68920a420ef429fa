"""Exchange of versions between repositories (docs/protocol.md)."""
