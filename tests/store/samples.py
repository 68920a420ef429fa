"""Small stores for tests: a folder, some chunks with bases, some metadata objects."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from mvc.base.ids import ObjectId
from mvc.objects.model import Blob, Content
from mvc.objects.tree import Entry, Tree
from mvc.storage.base import Storage
from mvc.storage.local import LocalStorage
from mvc.store import chunks
from mvc.store.chunks import Words
from mvc.store.object_store import ObjectStore
from mvc.store.transaction import Transaction


def weights(seed: int, words: int = 600) -> bytes:
    return np.random.default_rng(seed).normal(0, 0.02, words).astype("<f4").tobytes()


def nudged(data: bytes, seed: int) -> bytes:
    words = np.frombuffer(data, "<f4").copy()
    words += np.random.default_rng(seed).normal(0, 1e-6, len(words)).astype("<f4")
    return words.tobytes()


def blob(number: int) -> Blob:
    content = b"blob number %d" % number
    return Blob(number.to_bytes(32, "big"), Content(len(content), 1, content, ()))


@dataclass
class Saved:
    """What went into a store, to compare with what comes out."""

    chunks: dict[ObjectId, bytes] = field(default_factory=dict)
    objects: dict[ObjectId, tuple[str, bytes]] = field(default_factory=dict)

    def check(self, store: ObjectStore) -> None:
        for name, data in self.chunks.items():
            assert bytes(chunks.load_bytes(store, name, 4, len(data))) == data
        for name, (kind, content) in self.objects.items():
            assert store.read(name, kind) == content


def open_store(root: Path, storage: Storage | None = None) -> ObjectStore:
    root.mkdir(exist_ok=True)
    return ObjectStore(storage or LocalStorage(root), root / "index.sqlite")


def save(store: ObjectStore, root: Path, seed: int, saved: Saved) -> None:
    """Store chunks, one of them against a base, and objects, in one transaction."""
    data = weights(seed)
    with Transaction(store, root / "tmp") as tx:
        fill(tx, seed, saved, data)
        tx.commit()


def fill(tx: Transaction, seed: int, saved: Saved, data: bytes) -> None:
    bases = [name for name, held in saved.chunks.items() if len(held) == len(data)][-1:]
    words = [Words(data, 4, "float")]
    if bases:
        words.append(Words(nudged(saved.chunks[bases[0]], seed), 4, "float", (bases[0],)))
    for name, word in zip(tx.put_chunks(words), words, strict=True):
        saved.chunks[name] = bytes(word.data)
    entries = []
    for number in range(3):
        item = blob(seed * 1000 + number)
        name = tx.put(item)
        saved.objects[name] = ("blob", item.encode())
        entries.append(Entry(f"file-{number}", "blob", name, item.size))
    tree = Tree(tuple(entries))
    saved.objects[tx.put(tree)] = ("tree", tree.encode())
