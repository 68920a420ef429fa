"""Writes TensorFlow Lite models by hand: a small writer of the schema, no library."""

from __future__ import annotations

import struct
from collections.abc import Callable
from dataclasses import dataclass, field

Build = Callable[["Out"], int]


class Out:
    """Writes children before their parents are patched; offsets always point forward."""

    def __init__(self) -> None:
        self.data = bytearray(b"\0\0\0\0TFL3")

    def table(self, fields: dict[int, bytes | Build]) -> int:
        last = max(fields, default=-1) + 1
        sizes = [4 if callable(v := fields.get(i, b"")) else len(v) for i in range(last)]
        offsets, at = [], 4
        for size in sizes:
            offsets.append(at if size else 0)
            at += size
        vtable = len(self.data)
        self.data += struct.pack(f"<HH{last}H", 4 + 2 * last, at, *offsets)
        start = len(self.data)
        self.data += struct.pack("<i", start - vtable) + bytes(at - 4)
        for index, value in fields.items():
            place = start + offsets[index]
            if callable(value):
                self.data[place : place + 4] = struct.pack("<I", value(self) - place)
            else:
                self.data[place : place + len(value)] = value
        return start


def blob(raw: bytes, align: int = 1, width: int = 1) -> Build:
    def build(out: Out) -> int:
        out.data += bytes(-(len(out.data) + 4) % align)
        start = len(out.data)
        out.data += struct.pack("<I", len(raw) // width) + raw
        return start

    return build


def ints(values: list[int]) -> Build:
    def build(out: Out) -> int:
        start = len(out.data)
        out.data += struct.pack(f"<I{len(values)}i", len(values), *values)
        return start

    return build


def tables(items: list[dict[int, bytes | Build]]) -> Build:
    def build(out: Out) -> int:
        start = len(out.data)
        out.data += struct.pack("<I", len(items)) + bytes(4 * len(items))
        for index, item in enumerate(items):
            place = start + 4 + 4 * index
            out.data[place : place + 4] = struct.pack("<I", out.table(item) - place)
        return start

    return build


def numbers(code: str, values: list[float]) -> Build:
    return blob(struct.pack(f"<{len(values)}{code}", *values), width=struct.calcsize(f"<{code}"))


def quantisation(scales: list[float], zeros: list[int] | None = None, axis: int = 0) -> Build:
    fields: dict[int, bytes | Build] = {2: numbers("f", scales)}
    if zeros is not None:
        fields[3] = numbers("q", list(zeros))
    if axis:
        fields[6] = struct.pack("<i", axis)
    return lambda out: out.table(fields)


@dataclass
class Model:
    buffers: list[bytes | tuple[bytes, int]] = field(default_factory=lambda: [b""])
    graphs: list[list[dict[int, bytes | Build]]] = field(default_factory=lambda: [[]])
    version: int = 3
    codes: list[tuple[int, str]] = field(default_factory=list)
    operators: list[list[dict[int, bytes | Build]]] = field(default_factory=lambda: [[]])
    edges: list[tuple[list[int], list[int]]] = field(default_factory=lambda: [([], [])])

    def tensor(
        self, name: str, kind: int, shape: list[int], buffer: int, graph: int = 0, **extra: Build
    ) -> Model:
        while len(self.graphs) <= graph:
            self.graphs.append([])
        row: dict[int, bytes | Build] = {
            0: ints(shape),
            1: struct.pack("<b", kind),
            2: struct.pack("<I", buffer),
            3: blob(name.encode()),
        }
        for name_, number in (("quantisation", 4), ("sparsity", 6)):
            if name_ in extra:
                row[number] = extra[name_]
        self.graphs[graph].append(row)
        return self

    def buffer(self, raw: bytes) -> int:
        self.buffers.append(raw)
        return len(self.buffers) - 1

    def weight(self, name: str, kind: int, shape: list[int], raw: bytes, **extra: Build) -> Model:
        return self.tensor(name, kind, shape, self.buffer(raw), **extra)

    def operator(
        self,
        op: int,
        inputs: list[int],
        outputs: list[int],
        options: tuple[int, dict[int, bytes | Build]] | None = None,
        *,
        custom: str = "",
        graph: int = 0,
    ) -> Model:
        while len(self.operators) <= graph:
            self.operators.append([])
        if (op, custom) not in self.codes:
            self.codes.append((op, custom))
        row: dict[int, bytes | Build] = {
            0: struct.pack("<I", self.codes.index((op, custom))),
            1: ints(inputs),
            2: ints(outputs),
        }
        if options is not None:
            kind, fields = options
            row[3] = struct.pack("<B", kind)
            row[4] = lambda out: out.table(fields)
        self.operators[graph].append(row)
        return self

    def _graphs(self) -> list[dict[int, bytes | Build]]:
        found: list[dict[int, bytes | Build]] = []
        for number in range(max(len(self.graphs), len(self.operators))):
            row: dict[int, bytes | Build] = {}
            if number < len(self.graphs):
                row[0] = tables(self.graphs[number])
            if number < len(self.edges) and any(self.edges[number]):
                row[1], row[2] = map(ints, self.edges[number])
            if number < len(self.operators) and self.operators[number]:
                row[3] = tables(self.operators[number])
            found.append(row)
        return found

    def _codes(self) -> Build:
        return tables(
            [
                {
                    0: struct.pack("<b", min(op, 127)),
                    3: struct.pack("<i", op),
                    **({1: blob(name.encode())} if name else {}),
                }
                for op, name in self.codes
            ]
        )

    def build(self) -> bytes:
        rows: list[dict[int, bytes | Build]] = []
        for item in self.buffers:
            if isinstance(item, tuple):
                rows.append({1: struct.pack("<Q", item[1]), 2: struct.pack("<Q", len(item[0]))})
            else:
                rows.append({0: blob(item, 16)} if item else {})
        out = Out()
        fields: dict[int, bytes | Build] = {
            0: struct.pack("<I", self.version),
            2: tables(self._graphs()),
            4: tables(rows),
        }
        if self.codes:
            fields[1] = self._codes()
        root = out.table(dict(sorted(fields.items())))
        out.data[0:4] = struct.pack("<I", root)
        for item in self.buffers:
            if isinstance(item, tuple) and item[1] >= len(out.data):
                out.data += bytes(item[1] - len(out.data)) + item[0]
        return bytes(out.data)
