"""Text from a repository on its way to a terminal or a page.

Names, messages and authors come from whoever made the commit. Shown as they are, they could move
the cursor, change colours, hide parts of a line or pretend to be another line.
"""

from __future__ import annotations

import re

# C0 and C1 controls, zero-width and bidirectional formatting, line separators, lone surrogates.
_OBEYED = (
    "\x7f-\x9f\xad\u061c\u180e\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff"
    "\ufff9-\ufffb\ud800-\udfff\U000e0000-\U000e007f"
)
_UNSAFE = re.compile(f"[\x00-\x1f{_OBEYED}]")
# JSON has escapes for C0 controls already, and line breaks between its values.
_UNSAFE_JSON = re.compile(f"[{_OBEYED}]")
_SHORT = {"\n": "\\n", "\r": "\\r", "\t": "\\t"}


def escaped(text: str) -> str:
    """Return `text` as one line without any character that a terminal or a browser would obey."""
    return _UNSAFE.sub(_visible, text)


def escaped_lines(text: str) -> list[str]:
    """Return the lines of a message, each escaped; tabs become spaces."""
    return [escaped(line) for line in text.expandtabs(4).rstrip("\n").split("\n")]


def escaped_json(text: str) -> str:
    """Return the same JSON with escapes for what a terminal would obey in its strings."""
    return _UNSAFE_JSON.sub(_json_escape, text)


def _json_escape(match: re.Match[str]) -> str:
    units = match.group().encode("utf-16-be", "surrogatepass").hex()
    return "".join(f"\\u{units[at : at + 4]}" for at in range(0, len(units), 4))


def _visible(match: re.Match[str]) -> str:
    char = match.group()
    code = ord(char)
    if char in _SHORT:
        return _SHORT[char]
    if code < 256:
        return f"\\x{code:02x}"
    return f"\\u{code:04x}" if code < 65536 else f"\\U{code:08x}"
