"""Bytes by key: the protocol and its implementations."""
