"""One model that lies in several files, such as `model-00001-of-00003.safetensors`."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from functools import cached_property

from mvc.base.ids import ObjectId, digest
from mvc.diff.sides import File
from mvc.objects.model import ViewOf
from mvc.repo.skeleton import Skeleton
from mvc.repo.tensors import Held, TensorSource

_SHARD = re.compile(r"(.*?)-([0-9]{3,6})-of-([0-9]{3,6})(\.[^/]*)?", re.ASCII | re.DOTALL)


class Joined:
    """The shards of one model as if they were one file; implements sides.File."""

    id: ObjectId | None = None

    def __init__(self, parts: Mapping[str, File]) -> None:
        self.parts = dict(parts)
        self.size = sum(file.size for file in parts.values())

    @property
    def format(self) -> str:
        """The format of the first shard."""
        return next(iter(self.parts.values())).format

    def sha256(self) -> bytes:
        """Return a digest over the shards: no file has these bytes."""
        return digest(b"".join(file.sha256() for file in self.parts.values()))

    def tensors(self) -> TensorSource | None:
        """Return the tensors of all shards."""
        return self._tensors

    @cached_property
    def _tensors(self) -> TensorSource | None:
        found = [file.tensors() for file in self.parts.values()]
        present = [source for source in found if source is not None]
        return JoinedTensors(present) if len(present) == len(found) else None

    def read(self) -> bytes:
        """Return the bytes of all shards, one after another."""
        return b"".join(file.read() for file in self.parts.values())

    def skeleton(self) -> Skeleton | None:
        """Several files have no common header."""
        return None

    def close(self) -> None:
        """Close all shards."""
        for file in self.parts.values():
            file.close()


class JoinedTensors:
    """The tensors of several files; of two with one name the first counts."""

    def __init__(self, sources: Iterable[TensorSource]) -> None:
        self._sources = tuple(sources)
        self.format = self._sources[0].format
        self._home: dict[str, TensorSource] = {}
        self.views: dict[str, ViewOf] = {}
        for source in self._sources:
            for name in source.names:
                self._home.setdefault(name, source)
        for source in self._sources:
            for name, view in source.views.items():
                if name not in self._home and self._home.get(view.source) is source:
                    self.views.setdefault(name, view)
        self.names = tuple(self._home)

    def ids(self) -> dict[str, ObjectId]:
        """Return all ids."""
        known = {id(source): source.ids() for source in self._sources}
        return {name: known[id(source)][name] for name, source in self._home.items()}

    def get(self, name: str) -> Held:
        """Return a tensor that is in `names`."""
        return self._home[name].get(name)


def shards(paths: Iterable[str]) -> dict[str, list[str]]:
    """Return complete sets of shards by the name of the whole: `model-*-of-00003.safetensors`."""
    found: dict[tuple[str, str, str], list[str]] = {}
    for path in sorted(paths):
        match = _SHARD.fullmatch(path)
        if match:
            key = match[1], match[3], match[4] or ""
            found.setdefault(key, []).append(path)
    return {
        f"{stem}-*-of-{total}{ending}": names
        for (stem, total, ending), names in found.items()
        if len(names) == int(total) and len(names) > 1
    }


def stem(path: str) -> str:
    """Return what is left of the name of a model without shard number and ending."""
    name = path.rpartition("/")[2]
    return re.sub(r"-\*-of-[0-9]+", "", name.partition(".")[0])
