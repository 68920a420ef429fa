"""Text from a repository on its way to a terminal: see mvc.base.escape."""

from __future__ import annotations

from mvc.base.escape import escaped, escaped_lines

__all__ = ["escaped", "escaped_lines"]
