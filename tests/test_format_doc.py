from __future__ import annotations

import json
import re
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mvc.base import fileio
from mvc.base.dtypes import SEGMENTS
from mvc.base.ids import ObjectId, digest, object_id
from mvc.codec import chunk as codec
from mvc.codec import grouping, plain, section, zstd
from mvc.codec.segments import UNITS, join, split
from mvc.codec.transform import Transform
from mvc.objects import canonical, history, model, tree
from mvc.objects.history import Commit, Metric, Signature, Tag
from mvc.objects.model import (
    Blob,
    Checkpoint,
    Content,
    Layout,
    Literal,
    Placed,
    Tensor,
    ViewOf,
    chunk_id,
)
from mvc.objects.tree import Entry, Tree, tensor_path
from mvc.repo import names, trees
from mvc.storage import base as storage
from mvc.storage import keys
from mvc.storage.memory import MemoryStorage
from mvc.store import block, directory, pack
from mvc.store.block import Item
from mvc.store.directory import BlockEntry, ChunkEntry, Section, decode_entry
from mvc.store.object_store import ObjectStore
from mvc.store.pack import NewChunk, PackWriter
from mvc.store.pack_reader import read_rows

TEXT = (Path(__file__).parents[1] / "docs" / "format.md").read_text("utf-8")
MODULES = {
    "canonical": canonical,
    "model": model,
    "tree": tree,
    "history": history,
    "block": block,
    "directory": directory,
    "pack": pack,
    "section": section,
    "grouping": grouping,
    "storage": storage,
    "names": names,
    "trees": trees,
}


class Vector(dict[str, Any]):
    """A test vector: `value` as Python, the other lines as bytes."""

    def __init__(self, kind: str, name: str, body: str) -> None:
        super().__init__()
        self.kind, self.name = kind, name
        for line in body.strip().split("\n"):
            key, text = line.split(": ", 1) if ": " in line else (line.rstrip(":"), "")
            self[key] = from_json(json.loads(text)) if is_json(key) else bytes.fromhex(text)


def is_json(key: str) -> bool:
    return key in ("value", "direction")


def from_json(value: Any) -> Any:
    if isinstance(value, str) and value.startswith("0x"):
        return bytes.fromhex(value[2:])
    if isinstance(value, list):
        return [from_json(item) for item in value]
    if isinstance(value, dict):
        return {key: from_json(item) for key, item in value.items()}
    return value


VECTORS = [
    Vector(*found)
    for found in re.findall(r"^```vector kind=(\S+) name=(\S+)\n(.*?)^```$", TEXT, re.M | re.S)
]


def of(kind: str) -> Any:
    found = [vector for vector in VECTORS if vector.kind == kind]
    return pytest.mark.parametrize("vector", found, ids=lambda vector: vector.name)


def words(listed: list[bytes]) -> bytes:
    return b"".join(word[::-1] for word in listed)


def content(value: dict[str, Any]) -> Content:
    chunks = tuple(ObjectId(name) for name in value["chunks"])
    return Content(value["size"], value["word"], value["inline"], chunks)


def extent(value: dict[str, Any]) -> Literal | Placed:
    if "literal" in value:
        return Literal(content(value["literal"]))
    return Placed(value["tensor"], value["big_endian"], value["transposed"])


def layout(value: dict[str, Any]) -> Layout:
    views = (
        ViewOf(
            view["name"],
            view["source"],
            tuple(view["shape"]),
            view["offset"],
            tuple(view["strides"]),
        )
        for view in value["views"]
    )
    extents = tuple(extent(item) for item in value["extents"])
    return Layout(extents, tuple(views), tuple(value["notes"]))


def commit(value: dict[str, Any]) -> Commit:
    metrics = tuple(
        Metric(name, number, data, part) for name, data, part, number in value["metrics"]
    )
    signature = Signature(**value["signature"]) if "signature" in value else None
    changed = {"parents": tuple(value["parents"]), "metrics": metrics, "signature": signature}
    return Commit(**value | changed)


OBJECTS = {
    "tensor": lambda value: Tensor(
        value["dtype"], tuple(value["shape"]), content(value["content"])
    ),
    "blob": lambda value: Blob(value["sha256"], content(value["content"])),
    "layout": layout,
    "checkpoint": lambda value: Checkpoint(**value),
    "tree": lambda value: Tree(tuple(Entry(*entry) for entry in value["entries"])),
    "commit": commit,
    "tag": lambda value: Tag(**value),
}


def test_every_fenced_vector_is_read() -> None:
    assert len(VECTORS) == TEXT.count("```vector") > 50
    kinds = {"id", "canonical", "chunk", "transform", "section", "groups", "entry", "block"}
    assert {vector.kind for vector in VECTORS} == kinds | {"pack", "name"} | OBJECTS.keys()
    assert len({(vector.kind, vector.name) for vector in VECTORS}) == len(VECTORS)


@of("id")
def test_ids_are_as_written(vector: Vector) -> None:
    kind, held = vector["value"]["kind"], vector["value"]["content"]
    assert object_id(kind, held) == vector["id"] == digest(vector["bytes"])


@of("canonical")
def test_canonical_bytes_are_as_written(vector: Vector) -> None:
    assert canonical.encode(vector["value"]) == vector["bytes"]
    assert repr(canonical.decode(vector["bytes"])) == repr(
        canonical.decode(canonical.encode(vector["value"]))
    )
    assert canonical.decode(vector["bytes"]) == vector["value"]


@pytest.mark.parametrize(
    "vector", [item for item in VECTORS if item.kind in OBJECTS], ids=lambda item: item.kind
)
def test_objects_are_as_written(vector: Vector) -> None:
    made = OBJECTS[vector.kind](vector["value"])
    assert made.encode() == vector["bytes"]
    assert type(made).decode(vector["bytes"]) == made
    assert object_id(made.KIND, made.encode()) == vector["id"]
    assert vector.kind == made.KIND


def test_what_a_signature_is_made_over_is_as_written() -> None:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    (vector,) = (item for item in VECTORS if (item.kind, item.name) == ("commit", "signed"))
    made = commit(vector["value"])
    assert made.signature is not None
    assert made.signed_bytes() == vector["signed"]
    key = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
    assert key.public_key().public_bytes_raw() == made.signature.key
    assert key.sign(vector["signed"]) == made.signature.value


@of("chunk")
def test_chunks_are_as_written(vector: Vector) -> None:
    value, data = vector["value"], vector["data"]
    assert words(value["words"]) == data
    parts = split(data, value["word"])
    assert [part.tobytes() for part in parts] == value["segments"]
    assert bytes(join(parts, value["word"])) == data
    digests = [digest(part.data) for part in parts]
    assert canonical.encode([value["word"], len(value["words"]), digests]) == vector["bytes"]
    assert chunk_id(value["word"], len(value["words"]), tuple(digests)) == vector["id"]


@of("transform")
def test_transforms_are_as_written(vector: Vector) -> None:
    value = vector["value"]
    word, count = value["word"], len(value["words"])
    plain = split(words(value["words"]), word)
    base = split(words(value["base"]), word) if value["base"] else None
    done = Transform(value["transform"]).apply(plain, base)
    assert [part.tobytes() for part in done] == value["segments"]
    sections = tuple(b"\x01" + part for part in value["segments"])
    again = codec.decode(value["transform"], sections, word, count, base)
    assert bytes(join(again, word)) == words(value["words"])


@of("section")
def test_sections_are_as_written(vector: Vector) -> None:
    value = vector["value"]
    units = words(value["units"])
    above = np.frombuffer(words(value["above"]), "<u2") if "above" in value else None
    context = section.Context(len(value["units"]), above=above)
    again = section.decode(vector["bytes"], value["width"], context)
    assert again.tobytes() == units
    if vector["direction"] == "both":
        coding, _ = plain.choose(again, 1, entropy=True)
        assert section.encode(again, coding, context) == vector["bytes"]


@of("groups")
def test_groups_are_as_written(vector: Vector) -> None:
    value = vector["value"]
    count, bits = value["count"], value["bits"]
    top = [number * value["multiply"] % 65536 for number in range(count)]
    ranges = [range(low, high + 1) for low, high in value["groups"]]
    group = [next(n for n, held in enumerate(ranges) if one >> 16 - bits in held) for one in top]
    context = section.Context(count, np.array(top, "<u2"))
    units = words(value["units"])
    again = section.decode(vector["bytes"], value["width"], context)
    assert again.tolist() == [units[one] for one in group]
    # Inside a group units keep their order.
    parts = [bytes(n & 255 for n in range(count) if group[n] == one) for one in range(len(ranges))]
    data = vector["bytes"][:4]
    for part in parts:
        data += struct.pack("<IB", len(part) + 1, 1) + part
    again = section.decode(data, 1, context)
    assert again.tolist() == [number & 255 for number in range(count)]


@of("name")
def test_tensor_names_are_cut_as_written(vector: Vector) -> None:
    assert list(tensor_path(vector["value"]["name"])) == vector["value"]["pieces"]
    assert "".join(vector["value"]["pieces"]) == vector["value"]["name"]


@of("entry")
def test_directory_entries_are_as_written(vector: Vector) -> None:
    value = vector["value"]
    made: ChunkEntry | BlockEntry
    if "id" in value:
        sections = tuple(Section(*item) for item in value["sections"])
        made = ChunkEntry(**value | {"sections": sections})
    else:
        made = BlockEntry(**value)
    assert made.encode() == vector["bytes"]
    assert decode_entry(vector["bytes"]) == made


def objects(value: dict[str, Any]) -> list[Item]:
    return [Item(object_id(kind, held), kind, held) for kind, held in value["items"]]


@of("block")
def test_blocks_are_as_written(vector: Vector) -> None:
    value = vector["value"]
    items, chunks = objects(value), [ObjectId(name) for name in value.get("chunks", [])]
    size = len(vector["bytes"])
    entry = BlockEntry(8, len(vector["frame"]), 0, size, len(items), version=value["version"])
    assert block.unpack_items(entry, vector["frame"], chunks) == items
    if value["version"] == 2:
        packed = block.pack_items(items, chunks)
        assert (packed.data, packed.reach) == (vector["bytes"], len(chunks))


def chunk_of(value: dict[str, Any]) -> NewChunk:
    listed = value["words"] if "words" in value else [value["unit"]] * value["count"]
    parts = split(words(listed), value["word"])
    digests = tuple(digest(part.data) for part in parts)
    name = chunk_id(value["word"], len(listed), digests)
    about = (value["word"], len(listed), value["transform"], None, 0)
    return NewChunk(name, *about, tuple(value["sections"]), digests)


@of("pack")
def test_a_whole_pack_is_read_as_written(vector: Vector) -> None:
    value = vector["value"]
    (held,) = (item for item in VECTORS if (item.kind, item.name) == ("block", value["block"]))
    items, chunks = objects(held["value"]), [chunk_of(item) for item in value["chunks"]]
    name = vector["id"].hex()
    storage_ = MemoryStorage()
    storage_.write_new(keys.pack_tail(name), vector["tail"])
    storage_.write_new(keys.pack_head(name), vector["head"])
    assert vector["head"][7] == value["version"]
    rows = read_rows(storage_, name, len(vector["head"])).rows
    assert [row.id for row in rows] == [item.id for item in [*chunks, *items]]
    store = ObjectStore(storage_, None)
    store.refresh()
    assert [store.read(item.id, item.kind) for item in items] == [item.content for item in items]
    for item in chunks:
        reader, entry = store.chunk_entry(item.id)
        assert entry.version == value["version"]
        assert reader.sections(entry, 2) == item.sections


@of("pack")
def test_a_whole_pack_is_written_as_written(
    vector: Vector, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    value = vector["value"]
    if value["version"] == 1:
        return
    (held,) = (item for item in VECTORS if (item.kind, item.name) == ("block", value["block"]))
    monkeypatch.setattr(zstd, "compress", lambda data, level: held["frame"])
    storage_ = MemoryStorage()
    with fileio.Workspace(tmp_path) as space:
        writer = PackWriter(space)
        for record in value["chunks"]:
            writer.add_chunk(chunk_of(record))
        for item in objects(held["value"]):
            writer.add_object(item)
        written = writer.publish(storage_)
    assert bytes.fromhex(written.name) == vector["id"]
    assert storage_.read(keys.pack_head(written.name)) == vector["head"]
    assert storage_.read(keys.pack_tail(written.name)) == vector["tail"]
    assert read_rows(storage_, written.name, len(vector["head"])) == written


def test_the_table_of_limits_is_that_of_the_code() -> None:
    rows = re.findall(r"^\| `(\w+)\.(\w+)` \| (\d+) \|", TEXT, re.M)
    assert len(rows) > 25
    for module, name, value in rows:
        assert getattr(MODULES[module], name) == int(value), (module, name)
    told = {(module, name) for module, name, _ in rows}
    for module in MODULES:
        for name, value in vars(MODULES[module]).items():
            if re.fullmatch(r"MAX_[A-Z_]+", name) and isinstance(value, int):
                known = {(other, name) for other in MODULES}
                assert known & told, f"docs/format.md does not list {module}.{name}"


def test_words_have_the_segments_of_the_text() -> None:
    listed = re.findall(r"(\d) -> \[([\d, ]+)\]", TEXT)
    found = {int(word): tuple(map(int, cut.split(", "))) for word, cut in listed}
    assert found == SEGMENTS
    assert set(UNITS) >= {width for cut in found.values() for width in cut}
