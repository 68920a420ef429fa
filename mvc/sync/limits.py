"""The limits of docs/protocol.md, which a test compares with it."""

from __future__ import annotations

VERSION = 1
MAX_MESSAGE = 8 << 20
MAX_PIECE = 1 << 20
MAX_WAITS = 4096
WAIT_SECONDS = 10
MAX_PART = 128 << 20
PART_BYTES = 16 << 20
MAX_UNPACKED = 1 << 30
MAX_IDS = 1 << 16
MAX_BASES = 256
MAX_CHANGES = 4096
MAX_PARTS = 1 << 16
MAX_REFS = 20_000
MAX_PREFIXES = 256
MAX_PLAN = 10_000_000
MAX_TEXT = 4096
QUARANTINE_DAYS = 14
