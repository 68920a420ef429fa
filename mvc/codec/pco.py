"""Numbers by pcodec: bins found by sorting, coded with tabled asymmetric numeral systems.

Only the classic mode without differences is written: what mvc codes are residuals already. The
decoder fills an array of our own size, so a hostile stream can neither allocate nor overrun.
Source: https://github.com/pcodec/pcodec, "docs/format.md".
"""

from __future__ import annotations

import numpy as np
from pcodec import ChunkConfig, DeltaSpec, ModeSpec, PagingSpec, standalone

from mvc.base.errors import FormatError
from mvc.codec.segments import UNITS, Segment

LEVEL, FEW_LEVEL = 8, 7
"""Logarithms of the most bins looked for."""
FEW = 1 << 12
"""Units that have fewer bins: finding more takes longer than coding so few."""
PAGE = 1 << 18
_CONFIGS = {
    level: ChunkConfig(
        compression_level=level,
        mode_spec=ModeSpec.classic(),
        delta_spec=DeltaSpec.no_op(),
        paging_spec=PagingSpec.equal_pages_up_to(PAGE),
        enable_8_bit=True,
    )
    for level in (FEW_LEVEL, LEVEL)
}


def compress(segment: Segment) -> bytes:
    """Return the stream of a segment of 1, 2, 4 or 8 byte units."""
    aligned = np.require(segment, requirements=["C", "A"])
    level = LEVEL if len(segment) >= FEW else FEW_LEVEL
    return bytes(standalone.simple_compress(aligned, _CONFIGS[level]))


def decompress(stream: bytes | memoryview, count: int, width: int) -> Segment:
    """Return `count` units of `width` bytes, or raise FormatError."""
    out = np.empty(count, UNITS[width])
    try:
        progress = standalone.simple_decompress_into(bytes(stream), out)
    except (RuntimeError, TypeError, ValueError) as error:
        raise FormatError(f"a pcodec stream is damaged: {str(error)[:80]}") from error
    if not progress.finished or progress.n_processed != count:
        raise FormatError("a pcodec stream holds another number of words")
    return out
