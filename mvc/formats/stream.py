"""A source as a Python file object, for libraries that read one; subclasses say how they read."""

from __future__ import annotations

import io

from mvc.formats.base import Source


class SourceStream(io.RawIOBase):
    """A position in a source that can be moved freely, also past the end."""

    def __init__(self, source: Source) -> None:
        super().__init__()
        self._source = source
        self._position = 0

    def readable(self) -> bool:
        """See io.IOBase."""
        return True

    def seekable(self) -> bool:
        """See io.IOBase."""
        return True

    def tell(self) -> int:
        """See io.IOBase."""
        return self._position

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """See io.IOBase; OSError before the start."""
        origin = (0, self._position, self._source.size)[whence]
        if origin + offset < 0:
            raise OSError("seek before the start of the file")
        self._position = origin + offset
        return self._position
