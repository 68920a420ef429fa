"""A merge, cherry-pick or revert under way: what `--continue` and `--abort` go by.

The file `merge` in the repository's folder is one JSON object, replaced in one step. It is written
after everything that it names is durable in the store and before the first file of the working
copy is touched, and removed after the branch has moved. So a process that is killed leaves the
working copy as it was, or a file from which either way can be taken (docs/architecture.md).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from mvc.base.errors import FormatError, NegativeAnswer
from mvc.base.ids import ObjectId, parse_id
from mvc.objects.history import Scalar
from mvc.objects.tree import Entry, EntryKind
from mvc.repo.names import split_path
from mvc.repo.repository import Repository
from mvc.repo.state_file import StateFile

_FILE = StateFile(
    "merge",
    256 << 20,
    "what was being merged",
    ", then `mvc reset --hard HEAD` brings the files back",
)
VERSION = 1
VERBS = ("merge", "cherry-pick", "revert")

Id = ObjectId | None


@dataclass(frozen=True, slots=True)
class Named:
    """A strategy by its name, with its parameters."""

    name: str
    options: Mapping[str, Scalar] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Take:
    """What somebody said that conflicts become: of all files, or of `FILE[:TENSOR_GLOB]`s."""

    strategy: Named
    patterns: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Task:
    """Everything that decides what a merge gives, so that it can be worked out again.

    `sides` are commits, the first being what is merged into; `base` is their common ancestor. A
    side or base of None has no files. `counted` are the sides that strategies combine, `weights`
    has a number for every side. `rules` is the text of a TOML file, "" without one.
    """

    verb: str
    base: Id
    sides: tuple[Id, ...]
    names: tuple[str, ...]
    mode: str = "three-way"
    counted: tuple[int, ...] = (0, 1)
    weights: tuple[float, ...] = (1.0, 1.0)
    strategy: Named | None = None
    literals: str | None = None
    rules: str = ""
    takes: tuple[Take, ...] = ()

    @property
    def ours(self) -> ObjectId:
        """What is merged into."""
        found = self.sides[0]
        assert found is not None  # noqa: S101
        return found


@dataclass(frozen=True, slots=True)
class Open:
    """Something in conflict: a tensor of a file, or (`tensor` None) the file."""

    path: str
    tensor: str | None
    why: str


@dataclass(frozen=True, slots=True)
class Merging:
    """A merge under way.

    Attributes:
        task: What is merged, and how.
        ref: The branch that is to move, None for a detached HEAD.
        parents: Those of the commit to come.
        message: Its message.
        params: Its params.
        files: What the files become that differ from ours; None: they go.
        conflicts: What is still to be decided.
        commit: The commit, where it needs no decision and only has to be put in place.
        written: Whether all files of the working copy are as `files` says.
        start: Where the branch was before the first of several picks.
        todo: The commits still to be picked.
        reduced: The files that were at reduced precision, and their bits.
        settings: What the picks still to come are to be done with.
        sign: Whether to sign, None for what is configured.
    """

    task: Task
    ref: str | None
    parents: tuple[ObjectId, ...]
    message: str
    params: Mapping[str, Scalar]
    files: Mapping[str, Entry | None]
    conflicts: tuple[Open, ...] = ()
    commit: Id = None
    written: bool = False
    start: Id = None
    todo: tuple[ObjectId, ...] = ()
    reduced: Mapping[str, int] = field(default_factory=dict)
    settings: Mapping[str, Scalar] = field(default_factory=dict)
    sign: bool | None = None

    @property
    def verb(self) -> str:
        """`merge`, `cherry-pick` or `revert`."""
        return self.task.verb

    @property
    def origin(self) -> ObjectId:
        """Where `--abort` goes back to."""
        return self.start or self.task.ours


def load(repo: Repository) -> Merging | None:
    """Return what is under way, None if nothing is. Raises IntegrityError."""
    return _FILE.read(repo, _unpacked)


def save(repo: Repository, found: Merging) -> None:
    """Write durably what is under way, in one step."""
    _FILE.write(repo, _packed(found))


def clear(repo: Repository) -> None:
    """Say durably that nothing is under way."""
    _FILE.clear(repo)


def refuse(repo: Repository, what: str) -> None:
    """Raise NegativeAnswer if something is under way that `what` would get in the way of."""
    found = load(repo)
    if found is not None:
        verb = found.verb
        raise NegativeAnswer(
            f"a {verb} is under way, so {what} has to wait",
            hint=f"`mvc {verb} --continue` ends it, `mvc {verb} --abort` goes back",
        )


def reached(repo: Repository) -> list[ObjectId]:
    """Return what must stay in the store for what is under way."""
    found = load(repo)
    if found is None:
        return []
    task = found.task
    entries = [entry.id for entry in found.files.values() if entry is not None]
    ids = [task.base, *task.sides, *found.parents, found.commit, found.start, *found.todo]
    return [*entries, *(item for item in ids if item is not None)]


def _packed(found: Merging) -> dict[str, Any]:
    task = found.task
    return {
        "version": VERSION,
        "task": {
            "verb": task.verb,
            "base": _hex(task.base),
            "sides": [_hex(item) for item in task.sides],
            "names": list(task.names),
            "mode": task.mode,
            "counted": list(task.counted),
            "weights": list(task.weights),
            "strategy": _named(task.strategy),
            "literals": task.literals,
            "rules": task.rules,
            "takes": [[_named(item.strategy), list(item.patterns)] for item in task.takes],
        },
        "ref": found.ref,
        "parents": [item.hex() for item in found.parents],
        "message": found.message,
        "params": dict(found.params),
        "files": {path: _entry(entry) for path, entry in found.files.items()},
        "conflicts": [[item.path, item.tensor, item.why] for item in found.conflicts],
        "commit": _hex(found.commit),
        "written": found.written,
        "start": _hex(found.start),
        "todo": [item.hex() for item in found.todo],
        "reduced": dict(found.reduced),
        "settings": dict(found.settings),
        "sign": found.sign,
    }


def _unpacked(value: Any) -> Merging:
    if value["version"] != VERSION:
        raise FormatError("of another version")
    task = value["task"]
    if task["verb"] not in VERBS:
        raise FormatError("of an unknown kind")
    return Merging(
        Task(
            task["verb"],
            _id(task["base"]),
            tuple(_id(item) for item in task["sides"]),
            tuple(map(str, task["names"])),
            str(task["mode"]),
            tuple(map(int, task["counted"])),
            tuple(map(float, task["weights"])),
            _strategy(task["strategy"]),
            task["literals"],
            str(task["rules"]),
            tuple(_take(item) for item in task["takes"]),
        ),
        value["ref"],
        tuple(parse_id(item) for item in value["parents"]),
        str(value["message"]),
        dict(value["params"]),
        {_path(path): _held(entry) for path, entry in value["files"].items()},
        tuple(Open(_path(path), tensor, str(why)) for path, tensor, why in value["conflicts"]),
        _id(value["commit"]),
        bool(value["written"]),
        _id(value["start"]),
        tuple(parse_id(item) for item in value["todo"]),
        {_path(path): int(bits) for path, bits in value["reduced"].items()},
        dict(value["settings"]),
        value["sign"],
    )


def _hex(item: Id) -> str | None:
    return None if item is None else item.hex()


def _id(value: Any) -> Id:
    return None if value is None else parse_id(value)


def _named(item: Named | None) -> list[Any] | None:
    return None if item is None else [item.name, dict(item.options)]


def _strategy(value: Any) -> Named | None:
    return None if value is None else Named(str(value[0]), dict(value[1]))


def _take(value: Any) -> Take:
    strategy = _strategy(value[0])
    if strategy is None:
        raise FormatError("a decision without a strategy")
    return Take(strategy, tuple(map(str, value[1])))


def _entry(entry: Entry | None) -> list[Any] | None:
    return None if entry is None else [entry.kind, entry.id.hex(), entry.size]


def _held(value: Any) -> Entry | None:
    if value is None:
        return None
    kind, item, size = value
    if kind not in ("blob", "checkpoint"):
        raise FormatError("a file of an unknown kind")
    known: EntryKind = kind
    return Entry("", known, parse_id(item), int(size))


def _path(value: str) -> str:
    split_path(value)
    return value
