"""Zstandard frames with a size known beforehand.

python-zstandard ignores `max_output_size` where a frame declares its own size, so the declared
size is compared with the expected one before anything is allocated.
"""

from __future__ import annotations

import threading

import zstandard

from mvc.base.errors import FormatError

_local = threading.local()

DIFFERENCES = 0
"""In place of a level: for numbers that hardly ever repeat others, but may be zero in long runs.

Level 1 with a hash table so small that few matches are looked for; the literals come out shorter,
too.
"""


def compress(data: bytes | bytearray | memoryview, level: int) -> bytes:
    """Return one frame that declares its content size."""
    compressors: dict[int, zstandard.ZstdCompressor] = _local.__dict__.setdefault("levels", {})
    if level not in compressors:
        compressors[level] = zstandard.ZstdCompressor(compression_params=_parameters(level))
    return compressors[level].compress(data)


def _parameters(level: int) -> zstandard.ZstdCompressionParameters:
    chosen = {"hash_log": 6, "min_match": 7} if level == DIFFERENCES else {}
    return zstandard.ZstdCompressionParameters.from_level(
        level or 1, write_content_size=True, write_checksum=False, **chosen
    )


def decompress(frame: bytes | memoryview, size: int) -> bytes:
    """Return the content of one whole frame of exactly `size` bytes, or raise FormatError."""
    try:
        declared = zstandard.get_frame_parameters(frame)
        if declared.content_size != size or declared.dict_id:
            raise FormatError("a zstd frame declares another size than its record")
        decompressor = _local.__dict__.get("decompressor")
        if decompressor is None:
            decompressor = _local.decompressor = zstandard.ZstdDecompressor()
        content: bytes = decompressor.decompress(
            frame, max_output_size=size, read_across_frames=False, allow_extra_data=False
        )
    except zstandard.ZstdError as error:
        raise FormatError(f"a zstd frame is damaged: {str(error)[:80]}") from error
    if len(content) != size:
        raise FormatError("a zstd frame holds fewer bytes than it declares")
    return content
