"""What the tests of all readers share: run one on bytes, and state dicts to write."""

from __future__ import annotations

import math
from types import ModuleType

from hypothesis import strategies as st
from torch_files import STORAGES

from mvc.base import dtypes
from mvc.base.errors import FormatError
from mvc.formats.base import BytesSource, Located, checked

# Each would run something, or reach for something, if it were unpickled.
PAYLOADS = {
    "REDUCE": b"cos\nsystem\n(S'touch CANARY'\ntR.",
    "STACK_GLOBAL": b"\x80\x04\x8c\x02os\x8c\x06system\x93\x8c\x0ctouch CANARY\x85R.",
    "INST": b"(S'touch CANARY'\nios\nsystem\n.",
    "OBJ": b"(cos\nsystem\nS'touch CANARY'\no.",
    "NEWOBJ": b"csubprocess\nPopen\nS'touch CANARY'\n\x85\x81.",
    "NEWOBJ_EX": b"csubprocess\nPopen\n(S'touch CANARY'\nt}\x92.",
    "BUILD": b"cbuiltins\nobject\n)\x81}S'__setstate__'\ncos\nsystem\nsbS'touch CANARY'\nb.",
    "BUILD on a global": b"cos\nsystem\n}b.",
    "SETITEM on a call": b"cbuiltins\nglobals\n)RS'a'\nS'b'\ns.",
    "eval": b'cbuiltins\neval\n(S\'open("CANARY","w")\'\ntR.',
    "exec through a memo": b'cbuiltins\nexec\nq\x000(h\0S\'open("CANARY","w")\'\ntR.',
    "getattr chain": b"cbuiltins\ngetattr\n(c__main__\n__dict__\nS'x'\ntR.",
    "dotted name": b"cos.path\nos.system\n(S'touch CANARY'\ntR.",
    "an unlisted module": b"cpip._internal.cli.main\nmain\n(]S'list'\natR.",
    "a module with side effects": b"cantigravity\nfly\n)R.",
    "a shared library": b"cctypes\nCDLL\n(S'CANARY'\ntR.",
    "EXT1": b"\x82\x01(S'touch CANARY'\ntR.",
    "EXT2": b"\x83\x01\x01)R.",
    "EXT4": b"\x84\x01\x01\x01\x01)R.",
    "PERSID": b"Pos.system('touch CANARY')\n.",
    "runs before it breaks": b"cos\nsystem\n(S'touch CANARY'\ntR\xff",
    "load within": b"ctorch\nload\n(S'CANARY'\ntR.",
    "from bytes": b"ctorch.storage\n_load_from_bytes\n(C\x03\x80\x02NtR.",
    "rebuild of a call": (
        b"ctorch._utils\n_rebuild_parameter\n(cos\nsystem\n(S'touch CANARY'\ntRtR."
    ),
    "rebuild from a type": b"ctorch._tensor\n_rebuild_from_type_v2\n(cos\nsystem\nN(tNtR.",
}


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
