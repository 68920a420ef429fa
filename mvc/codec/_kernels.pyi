from typing import Any, TypeAlias

from numpy.typing import NDArray

Buffer: TypeAlias = bytes | memoryview | NDArray[Any]

VERSION: int

def count(keys: Buffer, width: int, counts: Buffer, /) -> None: ...
def label(keys: Buffer, width: int, table: Buffer, labels: Buffer, /) -> None: ...
def gather(
    segment: Buffer, width: int, labels: Buffer, sizes: Buffer, gathered: Buffer, /
) -> None: ...
def scatter(
    gathered: Buffer, width: int, labels: Buffer, sizes: Buffer, segment: Buffer, /
) -> None: ...
def top_delta(
    one: Buffer, base: Buffer, width: int, floats: bool, back: bool, out: Buffer, /
) -> None: ...
def low_delta(
    one: Buffer,
    base: Buffer,
    top: Buffer,
    base_top: Buffer,
    width: int,
    back: bool,
    out: Buffer,
    /,
) -> None: ...
def size_keys(
    top: Buffer,
    width: int,
    levels: Buffer,
    columns: int,
    start: int,
    exponent: int,
    reference: int,
    octave: int,
    keys: Buffer,
    /,
) -> None: ...
def golomb_read(body: Buffer, unary: int, divisor: int, count: int, places: Buffer, /) -> int: ...
def golomb_write(places: Buffer, divisor: int, /) -> tuple[int, bytes]: ...
