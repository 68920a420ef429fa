"""What the tests of all readers share: run one on bytes, and state dicts to write."""

from __future__ import annotations

import math
from types import ModuleType

from hypothesis import strategies as st
from torch_files import STORAGES

from mvc.base import dtypes
from mvc.base.errors import FormatError
from mvc.formats.base import BytesSource, Located, checked


def locate(module: ModuleType, data: bytes) -> Located:
    return checked(module.locate(BytesSource(data)), len(data))


def survives(module: ModuleType, data: bytes) -> Located | None:
    """Run a reader as the registry does; anything but FormatError escapes."""
    source = BytesSource(data)
    module.matches(data[:512], source)
    try:
        return locate(module, data)
    except FormatError as error:
        message = error.message
    assert len(message) < 300
    return None


def contents(located: Located, data: bytes) -> dict[str, tuple[str, tuple[int, ...], bytes]]:
    return {
        extent.name: (
            extent.dtype,
            extent.shape,
            data[extent.offset : extent.offset + extent.length],
        )
        for extent in located.extents
    }


@st.composite
def arrays(
    draw: st.DrawFn, labels: tuple[str, ...] = tuple(STORAGES)
) -> tuple[str, tuple[int, ...], bytes]:
    label = draw(st.sampled_from(labels))
    shape = tuple(draw(st.lists(st.integers(0, 4), max_size=3)))
    length = math.prod(shape) * dtypes.KNOWN[label].bits // 8
    return label, shape, draw(st.binary(min_size=length, max_size=length))


names = st.text(
    st.characters(exclude_categories=["Cs"], exclude_characters="/\\\0"), min_size=1, max_size=12
).filter(lambda name: name != "__metadata__")


def state_dicts(
    labels: tuple[str, ...] = tuple(STORAGES),
) -> st.SearchStrategy[dict[str, tuple[str, tuple[int, ...], bytes]]]:
    return st.dictionaries(names, arrays(labels), max_size=5)


@st.composite
def mutations(draw: st.DrawFn, data: bytes) -> bytes:
    result = bytearray(data)
    for _ in range(draw(st.integers(1, 4))):
        place = draw(st.integers(0, max(0, len(result) - 1)))
        match draw(st.sampled_from(["set", "cut", "insert", "huge"])):
            case "set":
                result[place : place + 1] = draw(st.binary(min_size=1, max_size=1))
            case "cut":
                del result[place : place + draw(st.integers(1, 20))]
            case "insert":
                result[place:place] = draw(st.binary(max_size=8))
            case "huge":
                result[place : place + 8] = b"\xff" * draw(st.integers(1, 8))
    return bytes(result)
