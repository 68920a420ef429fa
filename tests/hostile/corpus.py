"""Model files that lie: one of each way in which a header can contradict its file."""

from __future__ import annotations

import io
import json
import struct
import zipfile
from collections.abc import Iterator

import numpy as np
from hostile import PAYLOADS
from torch_files import save_legacy, save_zip, state_dict, storage, tensor

from tests.e2e.world import safetensors

DATA = bytes(range(256)) * 8
BIG = (2**31, 2**40, 2**63 - 1, 2**63, 2**64 - 1)


def headed(header: object, data: bytes = DATA[:16], length: int | None = None) -> bytes:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(text) if length is None else length) + text + data


def entry(begin: object = 0, end: object = 16, shape: object = (4,), label: object = "F32") -> dict:
    return {"dtype": label, "shape": shape, "data_offsets": [begin, end]}


def safetensors_lies() -> Iterator[tuple[str, bytes]]:
    whole = {"w": entry()}
    text = json.dumps(whole).encode()
    for length in (0, 1, 7, len(text) - 1, len(text) + 1, len(text) + 17, 100_000_001, *BIG):
        yield f"length {length}", headed(whole, length=length % 2**64)
    ranges = {
        "reversed": [("w", 16, 0)],
        "negative": [("w", -16, 0)],
        "past the end": [("w", 0, 17)],
        "far past the end": [("w", 2**62, 2**62 + 16)],
        "overlapping": [("a", 0, 16), ("b", 0, 16)],
        "half overlapping": [("a", 0, 12), ("b", 4, 16)],
        "a hole": [("a", 0, 4), ("b", 8, 16)],
        "a hole at the start": [("a", 4, 16)],
        "trailing bytes": [("a", 0, 12)],
        "a true": [("w", False, 16)],
        "a float": [("w", 0.0, 16.0)],
        "a text": [("w", "0", "16")],
        "huge integers": [("w", 0, 10**4000)],
    }
    for name, rows in ranges.items():
        header = {
            key: entry(
                begin, end, [(end - begin) // 4] if type(end) is int and end < 10**18 else [4]
            )
            for key, begin, end in rows
        }
        # A number too long for the default limit of digits is written by hand.
        if name == "huge integers":
            digits = b'{"w":{"dtype":"F32","shape":[4],"data_offsets":[0,' + b"9" * 5000 + b"]}}"
            yield f"offsets: {name}", headed(digits)
        else:
            yield f"offsets: {name}", headed(header)
    shapes: dict[str, object] = {
        "wraps 64 bits": [4194305, 4194305, 211106198978564],
        "huge times zero": [2**33, 2**33, 0],
        "minus one": [-1],
        "a float": [4.0],
        "a true": [True, 4],
        "a text": ["4"],
        "nested": [[4]],
        "rank 65": [1] * 64 + [4],
        "rank 100000": [1] * 100_000,
        "2^62 twice": [2**62, 2**62],
        "no list": 4,
        "null": None,
    }
    for name, shape in shapes.items():
        yield f"shape: {name}", headed({"w": entry(shape=shape)})
    labels: dict[str, object] = {
        "unknown": "F33",
        "long": "F" * 65,
        "endless": "F" * 100_000,
        "empty": "",
        "number": 32,
        "lower": "f32",
        "newline": "F\n32",
    }
    for name, label in labels.items():
        yield f"dtype: {name}", headed({"w": entry(label=label)})
    one = b'"w":{"dtype":"F32","shape":[4],"data_offsets":[0,16]}'
    texts = {
        "duplicate tensor": b"{" + one + b"," + one + b"}",
        "duplicate key inside": b'{"w":{"dtype":"I8","dtype":"F32","shape":[4],'
        b'"data_offsets":[0,16]}}',
        "duplicate metadata": b'{"__metadata__":{"a":"1","a":"2"},' + one + b"}",
        "metadata of numbers": b'{"__metadata__":{"a":1},' + one + b"}",
        "metadata only": b'{"__metadata__":{"a":"b"}}',
        "deep lists": b'{"w":' + b"[" * 100_000 + b"]" * 100_000 + b"}",
        "deep objects": b'{"w":' * 50_000 + b"1" + b"}" * 50_000,
        "NaN": b'{"w":NaN}',
        "byte order mark": b"\xef\xbb\xbf{" + one + b"}",
        "leading space": b"   {" + one + b"}",
        "NUL padding": b"{" + one + b"}\0\0\0",
        "an extra field": b'{"w":{"x":1,"dtype":"F32","shape":[4],"data_offsets":[0,16]}}',
        "a list": b"[" + b"1," * 1000 + b"1]",
        "not UTF-8": b'{"\xff\xfe":{"dtype":"F32","shape":[4],"data_offsets":[0,16]}}',
        "UTF-16": ("{" + one.decode() + "}").encode("utf-16"),
        "a lone surrogate": b'{"\\ud800":{"dtype":"F32","shape":[4],"data_offsets":[0,16]}}',
        "a name of 1 MB": b'{"' + b"n" * 2**20 + b'":{"dtype":"F32","shape":[4],'
        b'"data_offsets":[0,16]}}',
        "a cut": b"{" + one,
        "nothing": b"{}",
    }
    for name, raw in texts.items():
        yield f"header: {name}", headed(raw)


def npy_header(text: str, data: bytes = DATA[:32], version: int = 1) -> bytes:
    raw = text.encode("utf-8")
    size = struct.pack("<H" if version == 1 else "<I", len(raw))
    return b"\x93NUMPY" + bytes([version, 0]) + size + raw + data


def npy_lies() -> Iterator[tuple[str, bytes]]:
    shapes = {
        "huge": "(1099511627776,)",
        "huge twice": "(4294967296, 4294967296, 4294967296)",
        "negative": "(-4,)",
        "an expression": "(__import__('os').system('touch CANARY'),)",
        "a product": "(2*2,)",
        "a float": "(4.0,)",
        "a true": "(True, 4)",
        "rank 100": "(" + "1," * 100 + ")",
        "deep": "(" * 5000 + ")" * 5000,
    }
    for name, shape in shapes.items():
        text = "{'descr': '<f4', 'fortran_order': False, 'shape': %s, }" % shape  # noqa: UP031
        yield f"shape: {name}", npy_header(text, version=1 if len(text) < 60_000 else 2)
    for kind in ("|O", "O8", "<f3", "|V0", "<M8[ns]", "[('a','<f4'),('b','>i8')]", "f4" * 9000):
        quoted = kind if kind.startswith("[") else repr(kind)
        text = f"{{'descr': {quoted}, 'fortran_order': False, 'shape': (4,), }}"
        yield f"descr: {kind[:20]}", npy_header(text)
    plain = "{'descr': '<f4', 'fortran_order': False, 'shape': (4,), 'shape': (8,), }"
    yield "duplicate keys", npy_header(plain)
    yield "a header of 20 KB", npy_header(plain.replace("}", " " * 20_000 + "}"))
    yield "a header past the end", b"\x93NUMPY\x02\x00" + struct.pack("<I", 2**32 - 1) + b"{}"
    yield "version 9", npy_header(plain, version=9)
    objects = io.BytesIO()
    np.save(objects, np.array([{"a": 1}, None], object), allow_pickle=True)
    yield "pickled objects", objects.getvalue()


def zipped(*members: tuple[str, bytes], compression: int = zipfile.ZIP_STORED) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", compression) as archive:
        for name, data in members:
            archive.writestr(zipfile.ZipInfo(name), data, compression)
    return out.getvalue()


def zip_lies() -> Iterator[tuple[str, bytes]]:
    array = io.BytesIO()
    np.save(array, np.arange(4, dtype="<f4"))
    w = array.getvalue()
    names = (
        "../../x.npy",
        "/etc/x.npy",
        "..\\x.npy",
        "C:\\x.npy",
        "n\nl.npy",
        "\x1b[1m.npy",
        ".npy",
    )
    for name in names:
        yield f"a member called {name!a}", zipped((name, w))
    good = zipped(("w.npy", w), ("v.npy", w))
    yield "twice the same", good.replace(b"v.npy", b"w.npy")
    yield "w and w.npy", zipped(("w", w), ("w.npy", w))
    yield "central and local differ", good.replace(b"v.npy", b"u.npy", 1)
    at = good.index(b"PK\x01\x02")
    yield "an encrypted flag", good[: at + 8] + b"\x01\x00" + good[at + 10 :]
    yield "another method", good[: at + 10] + b"\x63\x00" + good[at + 12 :]
    yield "sizes of 4 GB", good[: at + 20] + b"\xff" * 8 + good[at + 28 :]
    yield "an offset of 4 GB", good[: at + 42] + b"\xff\xff\xff\xfe" + good[at + 46 :]
    yield "junk before", b"junk" * 100 + good
    yield "junk after", good + b"junk" * 100
    yield "two archives", good + zipped(("x.npy", w))
    end = good.index(b"PK\x05\x06")
    yield "65535 members", good[: end + 8] + b"\xff\xff\xff\xff" + good[end + 12 :]
    yield "a comment past the end", good[: end + 20] + b"\xff\xff"
    bomb = zipped(("w.npy", w + bytes(64 << 20)), compression=zipfile.ZIP_DEFLATED)
    yield "a bomb", bomb
    yield "a nested bomb", zipped(("w.npy", bomb), compression=zipfile.ZIP_DEFLATED)
    yield "20000 members", zipped(*((f"m{number}.npy", b"") for number in range(20_000)))
    pickle_bomb = bytes([0x80, 2]) + b"(" * (32 << 20) + b"."
    deflated = zipped(("archive/data.pkl", pickle_bomb), compression=zipfile.ZIP_DEFLATED)
    yield "a bomb of a pickle", deflated


def pickle_lies() -> Iterator[tuple[str, bytes]]:
    magic = save_legacy(*_state()[::2])
    prefix = magic[: magic.index(b".") + 1]
    for name, payload in PAYLOADS.items():
        yield f"{name} alone", payload
        yield f"{name} after a magic number", prefix + payload
        yield (
            f"{name} in an archive",
            zipped(("archive/data.pkl", payload), ("archive/data/0", w16)),
        )
        yield (
            f"{name} in a script",
            zipped(
                ("m/data.pkl", payload), ("m/constants.pkl", payload), ("m/code/m.py", b"import os")
            ),
        )
    bombs = {
        "billion laughs": b"\x80\x02](N]q\x00"
        + b"".join(
            b"(h" + bytes([n]) + (b"h" + bytes([n])) * 9 + b"lq" + bytes([n + 1]) for n in range(60)
        )
        + b".",
        "a huge long": b"\x80\x02\x8b\xff\xff\xff\x7f.",
        "a huge text": b"\x80\x04\x8d" + b"\xff" * 7 + b"\x7f.",
        "a huge frame": b"\x80\x04\x95" + b"\xff" * 8 + b".",
        "deep marks": b"\x80\x02" + b"(" * 1_000_000 + b".",
        "deep tuples": b"\x80\x02)" + b"\x85" * 1_000_000 + b".",
        "deep lists": b"\x80\x02" + b"]" * 300_000 + b"a" * 299_999 + b".",
        "endless memo": b"\x80\x02N" + b"r\xff\xff\xff\x7f" * 1000 + b".",
        "no stop": b"\x80\x02" + b"N" * 100_000,
    }
    for name, raw in bombs.items():
        yield f"{name} alone", raw
        yield f"{name} after a magic number", prefix + raw
        yield f"{name} in an archive", zipped(("archive/data.pkl", raw), ("archive/data/0", w16))
    for count in (-1, 5, *BIG):
        value = {"w": tensor(storage("0", "float32", count), (4,))}
        yield f"a storage of {count}", save_zip(value, {"0": w16})
    for shape, strides, offset in (
        ((2**40,), (1,), 0),
        ((2**32, 2**32), (2**32, 1), 0),
        ((4,), (2**62,), 0),
        ((4,), (1,), 2**62),
        ((4,), (1,), -1),
        ((-4,), (1,), 0),
        ((4,), (-1,), 3),
        ((2**62,), (0,), 0),
    ):
        value = {"w": tensor(storage("0", "float32", 4), shape, strides, offset)}
        yield f"shape {shape} strides {strides} offset {offset}", save_zip(value, {"0": w16})
    for key in ("../0", "/etc/passwd", "0\0", "\n", "9" * 5000):
        value = {"w": tensor(storage(key, "float32", 4), (4,))}
        yield f"a storage called {key[:20]!a}", save_zip(value, {"0": w16})


w16 = DATA[:16]


def _state() -> tuple:
    return state_dict({"w": ("float32", (4,), w16)})


def gguf(tensors: int = 1, pairs: int = 0, body: bytes = b"", version: int = 3) -> bytes:
    return b"GGUF" + struct.pack("<IQQ", version, tensors, pairs) + body


def other_lies() -> Iterator[tuple[str, bytes]]:
    for count in BIG:
        yield f"gguf: {count} tensors", gguf(count % 2**64)
        yield f"gguf: {count} pairs", gguf(1, count % 2**64)
        text = struct.pack("<Q", count % 2**64) + b"name"
        yield f"gguf: a text of {count}", gguf(1, 1, text)
        row = struct.pack("<Q", 1) + b"w" + struct.pack("<IQIQ", 1, count % 2**64, 0, 0)
        yield f"gguf: a dimension of {count}", gguf(1, 0, row + DATA)
    row = struct.pack("<Q", 1) + b"w" + struct.pack("<I", 2**32 - 1)
    yield "gguf: 2^32 dimensions", gguf(1, 0, row)
    array = struct.pack("<Q", 1) + b"k" + struct.pack("<IIQ", 9, 9, 2**60)
    yield "gguf: an array of arrays", gguf(1, 1, array * 1000)
    for version in (0, 1, 4, 2**31):
        yield f"gguf: version {version}", gguf(1, 0, DATA, version)
    yield "onnx: an endless varint", b"\x08" + b"\xff" * 100_000
    yield "onnx: deep nesting", b"\x08\x08" + _nested(5000)
    yield "onnx: a field past the end", b"\x08\x08\x3a\xff\xff\xff\xff\x0f"
    yield "hdf5: a magic and noise", b"\x89HDF\r\n\x1a\n" + DATA * 4
    yield "hdf5: a magic alone", b"\x89HDF\r\n\x1a\n"
    yield "tflite: a magic and noise", b"\x1c\0\0\0TFL3" + DATA
    yield "tflite: offsets everywhere", b"\xff\xff\xff\x7fTFL3" + b"\xff" * 500
    yield "tflite: tables in a ring", b"\x08\0\0\0TFL3" + b"\x04\0\0\0" * 200
    yield "keras: noise", zipped(("model.weights.h5", DATA), ("config.json", b"{"))
    yield "nothing", b""
    yield "gzip", b"\x1f\x8b\x08" + DATA
    yield "a script", b"#!/bin/sh\ntouch CANARY\n"


def _nested(depth: int) -> bytes:
    data = b""
    for _ in range(depth):
        size, length = len(data), bytearray()
        while size > 0x7F:
            length.append(size & 0x7F | 0x80)
            size >>= 7
        data = b"\x3a" + bytes([*length, size]) + data
    return data


def sound() -> dict[str, bytes]:
    """Return a small sound file of each format that needs no extra package."""
    array, archive = io.BytesIO(), io.BytesIO()
    np.save(array, np.arange(6, dtype="<f4").reshape(2, 3))
    np.savez(archive, w=np.arange(4, dtype="<f4"), b=np.zeros((), ">f8"))
    top, plain, counted = _state()
    row = struct.pack("<Q", 1) + b"w" + struct.pack("<IQIQ", 1, 4, 0, 0)
    at = 24 + len(row)
    return {
        "safetensors": safetensors(
            [("a", "F32", [4], DATA[:16]), ("b", "I8", [], b"x")], metadata={"k": "v"}
        ),
        "npy": array.getvalue(),
        "npz": archive.getvalue(),
        "pt": save_zip(top, plain),
        "legacy": save_legacy(top, counted),
        "gguf": gguf(1, 0, row + bytes(-at % 32) + DATA[:16]),
    }


def cuts() -> Iterator[tuple[str, bytes]]:
    for form, data in sound().items():
        for length in range(0, len(data), 1 if len(data) < 400 else 3):
            yield f"{form} cut at {length}", data[:length]


def flips(times: int = 40) -> Iterator[tuple[str, bytes]]:
    draw = np.random.default_rng(7)
    for form, data in sound().items():
        for number in range(times):
            raw = bytearray(data)
            for at in draw.integers(0, len(raw), 1 + number % 3):
                raw[at] = draw.choice([0, 0xFF, 0x80, 0x7F, raw[at] ^ 1])
            yield f"{form} flip {number}", bytes(raw)
        for number in range(times):
            raw = bytearray(data)
            at = int(draw.integers(0, len(raw)))
            raw[at : at + 8] = b"\xff" * 7 + b"\x7f"
            yield f"{form} huge number {number}", bytes(raw)


GROUPS = {
    "safetensors": safetensors_lies,
    "npy": npy_lies,
    "zip": zip_lies,
    "pickle": pickle_lies,
    "other": other_lies,
    "cuts": cuts,
    "flips": flips,
}
