"""What is stored in the comparison of stores: versions of files, in the order they are committed.

The families come from `benchmarks.families`; the others are published models as they are, with
the relations that their publishers name.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cache
from itertools import groupby
from pathlib import Path

from benchmarks import manifest
from benchmarks.manifest import Entry
from examples.models import fetch

MERGED = "model.safetensors"


@dataclass(frozen=True, slots=True)
class File:
    """One file of a version.

    Attributes:
        source: Where it lies.
        place: Its name in the working folder.
        parent: The source of the file it was made from, which came earlier.
    """

    source: Path
    place: str
    parent: Path | None = None

    @property
    def size(self) -> int:
        """Its bytes."""
        return self.source.stat().st_size

    @property
    def sha256(self) -> str:
        """Of its content."""
        return _sha256(self.source)


@dataclass(frozen=True, slots=True)
class Version:
    """What one commit brings; `start` is the version it began from, if not the one before."""

    files: tuple[File, ...]
    start: int | None = None

    @property
    def size(self) -> int:
        """The bytes of its files."""
        return sum(file.size for file in self.files)


@dataclass(frozen=True, slots=True)
class History:
    """Versions under one name.

    Attributes:
        name: In the tables.
        versions: In the order of the commits.
        find_bases: No parents are known: codings look for the nearest earlier file.
    """

    name: str
    versions: tuple[Version, ...]
    find_bases: bool = False

    @property
    def size(self) -> int:
        """The bytes of all versions."""
        return sum(version.size for version in self.versions)

    @property
    def digest(self) -> str:
        """Of all files, their names and their order."""
        text = [f"{self.find_bases}"]
        for version in self.versions:
            text.append(f"version {version.start}")
            for file in version.files:
                parent = _sha256(file.parent) if file.parent else None
                text.append(f"{file.place} {file.sha256} {parent}")
        return hashlib.sha256("\n".join(text).encode()).hexdigest()[:16]

    def worktree(self, number: int) -> dict[str, File]:
        """Return what lies in the working folder at a version, by place."""
        version = self.versions[number]
        before = number - 1 if version.start is None else version.start
        files = self.worktree(before) if number > 0 else {}
        return files | {file.place: file for file in version.files}


@cache
def _sha256(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def from_families(folder: Path, prefix: str = "") -> list[History]:
    """Return the families in a folder, in the order of its manifest."""
    families: dict[str, list[Entry]] = {}
    for entry in manifest.read(folder):
        families.setdefault(entry.family, []).append(entry)
    return [_from_entries(folder, prefix + name, entries) for name, entries in families.items()]


def _from_entries(folder: Path, name: str, entries: Iterable[Entry]) -> History:
    ordered = sorted(entries, key=lambda entry: entry.version)
    known = {entry.path: entry for entry in ordered}
    latest: dict[str, int] = {}
    versions = []
    for number, group in groupby(ordered, key=lambda entry: entry.version):
        files, start = [], None
        for entry in group:
            parent = known[entry.parent] if entry.parent else None
            # Made from something older than what lies at its place: a branch begins there.
            if parent and parent.place == entry.place and parent.version != latest[entry.place]:
                start = parent.version
            latest[entry.place] = number
            base = folder / parent.path if parent else None
            files.append(File(folder / entry.path, entry.place, base))
        versions.append(Version(tuple(files), start))
    return History(name, tuple(versions))


def alone(families: Iterable[History]) -> list[History]:
    """Return MiniLM in three precisions, each the only version there is."""
    first = {history.name: history.versions[0] for history in families}
    return [
        History(f"minilm-{precision}-alone", (first[f"full-{precision}"],))
        for precision in ("fp32", "bf16", "fp16")
        if f"full-{precision}" in first
    ]


def merges(families: Iterable[History]) -> list[History]:
    """Return the families of merged adapters without the adapters that lie beside."""
    return [
        History(f"{history.name}-only", tuple(map(_one_file, history.versions)))
        for history in families
        if "lora-merged" in history.name
    ]


def _one_file(version: Version) -> Version:
    return replace(version, files=tuple(f for f in version.files if f.place == MERGED))


def _nets(models: Path) -> History:
    """300 networks of one architecture, trained from one another for a molecule each."""
    files = tuple(File(path, path.name) for path in fetch(["mhcnuggets"], models))
    return History("mhcnuggets", (Version(files),), find_bases=True)


def _transfer(models: Path) -> History:
    """A potential for crystals, and what was made from it by transfer learning."""
    paths = {path.name.split("_")[1]: path for path in fetch(["chgnet"], models)}
    first = File(paths["0.3.0"], "chgnet.pth.tar")
    second = File(paths["r2scan"], first.place, first.source)
    return History("chgnet", (Version((first,)), Version((second,))))


def _releases(models: Path) -> History:
    """Releases of a voice detector: retrained, and re-exported to more formats."""
    latest: dict[str, Path] = {}
    versions = []
    for release in ("5.1", "5.1.2", "6.0.0", "6.1.0", "6.2.0", "6.2.3"):
        paths = fetch([f"silero-{release}"], models)
        versions.append(Version(tuple(File(p, p.name, latest.get(p.name)) for p in paths)))
        latest |= {path.name: path for path in paths}
    return History("silero-vad", tuple(versions))


def _twins(models: Path) -> History:
    """Wake words, each as ONNX and as TFLite."""
    paths = fetch(["openwakeword"], models)
    return History("openwakeword", (Version(tuple(File(p, p.name) for p in paths)),))


def _single(key: str, file: str) -> Callable[[Path], History]:
    """Return what gives one published file, the only version there is."""

    def history(models: Path) -> History:
        (path,) = (path for path in fetch([key], models) if path.name == file)
        return History(f"{key}-alone", (Version((File(path, path.name),)),))

    return history


SINGLES = {
    "crepe": "full.pth",
    "resemblyzer": "pretrained.pt",
    "smollm2": "SmolLM2-135M-Instruct.Q4_1.gguf",
    "minilm-int8": "model.onnx",
    "silero-6.2.3": "silero_vad_16k.safetensors",
    "magika-1.0.3": "model.onnx",
    "g2p": "checkpoint20.npz",
}
"""Published models that are measured alone: the key of the model, and the file."""

PUBLISHED: dict[str, Callable[[Path], History]] = {
    "mhcnuggets": _nets,
    "chgnet": _transfer,
    "silero-vad": _releases,
    "openwakeword": _twins,
    **{f"{key}-alone": _single(key, file) for key, file in SINGLES.items()},
}


def _known(folders: Sequence[Path]) -> dict[str, History]:
    """Return what is made of families by name; of a second folder they carry its name."""
    known: dict[str, History] = {}
    for index, folder in enumerate(folders):
        prefix = f"{folder.name}/" if index else ""
        built = from_families(folder, prefix)
        single = alone(built) if index == 0 else []
        known |= {history.name: history for history in [*built, *merges(built), *single]}
    return known


def names(families: Sequence[Path]) -> list[str]:
    """Return what may be asked for by name: families, single models, published relatives."""
    return [*_known(families), *PUBLISHED]


def find(wanted: Sequence[str], families: Sequence[Path], models: Path) -> list[History]:
    """Return histories by name, all when none is named.

    Raises:
        FetchError: A published model cannot be had.
        KeyError: A name is unknown.
    """
    known = _known(families)
    return [
        known[name] if name in known else PUBLISHED[name](models)
        for name in wanted or [*known, *PUBLISHED]
    ]
