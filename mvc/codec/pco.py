"""Numbers by pcodec: bins found by sorting, coded with tabled asymmetric numeral systems.

Only the classic mode without differences is written: what mvc codes are residuals already. The
decoder fills an array of our own size, so a hostile stream can neither allocate nor overrun.
Source: https://github.com/pcodec/pcodec, "docs/format.md".
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from mvc.base.errors import FormatError
from mvc.codec.segments import UNITS, Segment

if TYPE_CHECKING:
    from pcodec import ChunkConfig

LEVEL = 8
PAGE = 1 << 18
_config: ChunkConfig | None = None


def compress(segment: Segment) -> bytes:
    """Return the stream of a segment of 1, 2, 4 or 8 byte units."""
    from pcodec import standalone

    aligned = np.require(segment, requirements=["C", "A"])
    return bytes(standalone.simple_compress(aligned, _settings()))


def decompress(stream: bytes | memoryview, count: int, width: int) -> Segment:
    """Return `count` units of `width` bytes, or raise FormatError."""
    from pcodec import standalone

    out = np.empty(count, UNITS[width])
    try:
        progress = standalone.simple_decompress_into(bytes(stream), out)
    except (RuntimeError, TypeError, ValueError) as error:
        raise FormatError(f"a pcodec stream is damaged: {str(error)[:80]}") from error
    if not progress.finished or progress.n_processed != count:
        raise FormatError("a pcodec stream holds another number of words")
    return out


def _settings() -> ChunkConfig:
    global _config
    if _config is None:
        from pcodec import ChunkConfig, DeltaSpec, ModeSpec, PagingSpec

        _config = ChunkConfig(
            compression_level=LEVEL,
            mode_spec=ModeSpec.classic(),
            delta_spec=DeltaSpec.no_op(),
            paging_spec=PagingSpec.equal_pages_up_to(PAGE),
            enable_8_bit=True,
        )
    return _config
