"""The Python interface: save models from memory and load them back (docs/api.md).

repo = mvc.Repository.open(".")
version = repo.commit({"w": array}, "epoch 3", metrics={"accuracy@imagenet": 0.91})
arrays = repo.load(version)
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from mvc.base.errors import NotFoundError, UsageError
from mvc.base.ids import ObjectId
from mvc.objects.history import Metric, Scalar
from mvc.repo import revisions, trees
from mvc.repo.history import walk
from mvc.repo.repository import Environment
from mvc.repo.repository import Repository as _Repository

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from mvc.ops.blame import BlamedFile
    from mvc.ops.diff import DiffResult
    from mvc.ops.history import PartChange
    from mvc.ops.merge_result import Dispute, MergedFile
    from mvc.ops.merge_result import MergeResult as _MergeResult
    from mvc.repo.arrays import TensorFile
    from mvc.repo.holdings import Tally, VersionUse
    from mvc.store.tails import TailSource

DEFAULT_PATH = "model.safetensors"


@dataclass(frozen=True, slots=True)
class Version:
    """One entry of a repository's history."""

    id: str
    parents: tuple[str, ...]
    author: str
    time: datetime
    message: str
    params: dict[str, Scalar]
    metrics: dict[str, float]
    labels: dict[str, str]


@dataclass(frozen=True, slots=True)
class Stats:
    """What versions take; the fields are those of `mvc stats --json` (docs/json.md).

    A tally has `tensors`, `chunks`, `raw_bytes`, `stored_bytes`. `depth` is by deltas in a row.
    `versions` are by id, newest first: `raw`, `new`, `stored` and `recovery` bytes.
    """

    raw_bytes: int
    stored_bytes: int
    pack_bytes: int
    metadata_bytes: int
    index_bytes: int
    other_bytes: int
    kept_bytes: int
    offloaded_bytes: int
    objects: int
    packs: int
    by_cause: dict[str, Tally]
    depth: dict[int, Tally]
    versions: dict[str, VersionUse]


@dataclass(frozen=True, slots=True)
class MergeParent:
    """A version that was merged, under the name it was given by; `weight` None: not weighed."""

    name: str
    commit: str
    weight: float | None


@dataclass(frozen=True, slots=True)
class MergeResult:
    """What a merge, cherry-pick or revert did; the fields are those of --json (docs/merge.md).

    `status` is `same`, `forward`, `merged`, `conflicts`, `stopped` or `aborted`. Each of `files`
    has `path`, `result`, `taken`, `computed`, `conflicts`, `remarks`; each of `conflicts` has
    `path`, `tensor`, `why`, `sides`.
    """

    status: str
    branch: str | None
    old: str | None
    commit: str | None
    tree: str | None
    bases: tuple[str, ...]
    parents: tuple[MergeParent, ...]
    message: str
    params: dict[str, Scalar]
    files: tuple[MergedFile, ...]
    conflicts: tuple[Dispute, ...]
    remarks: tuple[str, ...]


class Repository:
    """A repository for use from Python. Not safe for use by several threads at once."""

    def __init__(self, inner: _Repository) -> None:
        self._inner = inner
        inner.opener = self._lower_bits

    def _lower_bits(self, where: str) -> TailSource:
        from mvc.ops.links import Access
        from mvc.ops.tails import source

        return source(self._inner, where, Access())

    @classmethod
    def open(cls, path: str | Path = ".", *, author: str | None = None) -> Self:
        """Open the repository that `path` is in, or raise mvc.NotFoundError."""
        return cls(_Repository.discover(Path(path).absolute(), Environment(author=author)))

    @classmethod
    def init(cls, path: str | Path = ".", *, bare: bool = False, author: str | None = None) -> Self:
        """Make a repository in `path`, or open the one that is there."""
        environment = Environment(author=author)
        return cls(_Repository.init(Path(path).absolute(), bare=bare, environment=environment))

    @property
    def path(self) -> Path:
        """The folder that holds the repository's data."""
        return self._inner.folder

    def commit(
        self,
        tensors: Mapping[str, Any] | TensorFile,
        message: str,
        *,
        path: str = DEFAULT_PATH,
        params: Mapping[str, Scalar] | None = None,
        metrics: Mapping[str, float] | None = None,
        labels: Mapping[str, str] | None = None,
        base: str | None = None,
    ) -> str:
        """Record named arrays as the file `path` of a new version and return its id.

        The arrays become a safetensors file inside the version; the other files stay as in HEAD,
        and no file of the working copy is read or written. Takes NumPy arrays (with ml_dtypes),
        torch tensors, or an open safetensors file. `base` names a revision that the tensors
        resemble more than HEAD's; it saves space and changes nothing else.

        Raises mvc.UsageError if nobody is named as author, mvc.NotFoundError if there is no
        revision `base`, and mvc.RemoteMovedError if another process committed meanwhile; nothing
        is recorded then.
        """
        from mvc.ops.commit import CommitRequest
        from mvc.ops.commit_arrays import commit_arrays

        request = CommitRequest(
            message,
            dict(params or {}),
            tuple(Metric.of(key, value) for key, value in (metrics or {}).items()),
            dict(labels or {}),
            base=base,
        )
        return commit_arrays(self._inner, tensors, path, request).hex()

    def load(
        self, revision: str = "HEAD", path: str | None = None, *, precision: int | None = None
    ) -> dict[str, NDArray[Any]]:
        """Return the tensors of a model file of a version by name, verified bit for bit.

        `path` may be left out where the version has one file with tensors. With `precision=16`,
        wider floats come with all but their top 16 bits zero, read from half of what is stored.
        Raises mvc.NotFoundError or mvc.IntegrityError.
        """
        from mvc.repo.arrays import load_checkpoint

        found = revisions.find(self._inner, f"{revision}:{path or self._only_model(revision)}")
        if found.entry.kind != "checkpoint":
            raise UsageError(f"{found.path} has no tensors that mvc can see")
        return load_checkpoint(self._inner.store, found.entry.id, precision)

    def export(
        self, folder: str | Path, revision: str = "HEAD", *, precision: int | None = None
    ) -> tuple[str, ...]:
        """Write the files of a version, or of `REV:PATH`, into a new folder.

        With `precision=16`, wider floats have all but their top 16 bits zero; the paths of files
        that differ from what was committed by that are returned. Raises mvc.NegativeAnswer where
        other files are in the way.
        """
        from mvc.ops.export import export

        target = Path(folder).absolute()
        return export(self._inner, revision, target, precision=precision).reduced

    def files(self, revision: str = "HEAD") -> dict[str, int]:
        """Return the paths of a version's files with their sizes in bytes."""
        commit = self._inner.commit(revisions.resolve(self._inner, revision))
        found = trees.files(self._inner.store, commit.tree)
        return {path: entry.size for path, entry in found.items()}

    def log(self, revision: str = "HEAD") -> Iterator[Version]:
        """Yield a version and its ancestors, newest first."""
        for version in walk(self._inner, [revisions.resolve(self._inner, revision)]):
            commit = version.commit
            yield Version(
                version.id.hex(),
                tuple(parent.hex() for parent in commit.parents),
                commit.author,
                datetime.fromtimestamp(commit.time / 1e6, UTC),
                commit.message,
                dict(commit.params),
                {metric.key: metric.value for metric in commit.metrics},
                dict(commit.labels),
            )

    def diff(
        self,
        old: str = "HEAD",
        new: str | None = None,
        *,
        paths: Sequence[str] = (),
        weights: bool = True,
        rank: bool = False,
    ) -> DiffResult:
        """Return what differs between two versions, or between a version and the working copy.

        Both may be `REV:PATH`, one file of a version. `paths` are `PATH[:TENSOR_GLOB]`. Without
        `weights` no weight is read: what differs is known, and not how far. `rank` asks for the
        effective rank of each change. Ids in the result are bytes. Raises mvc.NotFoundError or
        mvc.UsageError.
        """
        from mvc.ops.diff import DiffRequest, diff

        names = (old,) if new is None else (old, new)
        return diff(self._inner, DiffRequest(names, tuple(paths), weights=weights, rank=rank))

    def blame(
        self, file: str | None = None, revision: str = "HEAD", *, weights: bool = True
    ) -> tuple[BlamedFile, ...]:
        """Return who changed each tensor of a version last, of `FILE[:TENSOR_GLOB]` or all files.

        Without `weights` nothing tells how far. Raises mvc.NotFoundError or mvc.IntegrityError.
        """
        from mvc.ops.blame import BlameRequest, blame

        commit = revisions.resolve(self._inner, revision).hex()
        paths = () if file is None else (file,)
        request = BlameRequest((f"{commit}:",), paths, weights)
        return blame(self._inner, request).files

    def history(
        self, file: str, tensors: str = "*", revision: str = "HEAD", *, weights: bool = True
    ) -> Iterator[PartChange]:
        """Yield the versions that changed tensors of a file, newest first, and what they did.

        The file is followed through renames and other formats. Raises mvc.NotFoundError where there
        is no such version.
        """
        from mvc.ops.history import history

        spec = f"{file}:{tensors}"
        return history(self._inner, spec, revision, weights=weights)

    def merge(
        self,
        *revisions: str,
        strategy: str | None = None,
        options: Mapping[str, Scalar] | None = None,
        weights: Sequence[float] | None = None,
        weight_by: str | None = None,
        rules: str | Path | None = None,
        include_head: bool = False,
        into: str | None = None,
        message: str = "",
        dry_run: bool = False,
    ) -> MergeResult:
        """Merge versions, or those that patterns such as `devices/*` name, into a branch.

        That is the current one and its files, or `into`, which then leaves all files alone. What
        `strategy` does, its `options` and `rules` (the path of a TOML file) tells docs/merge.md.
        `weights` are one number a version, or `weight_by` names a metric or param of each.
        Conflicts are no error: with files they wait for `resume` or `abort`.

        Raises mvc.NegativeAnswer where uncommitted work is in the way or histories are unrelated,
        mvc.RemoteMovedError where the branch moved meanwhile, mvc.NotFoundError, mvc.UsageError.
        """
        from mvc.ops.merge import MergeRequest, merge
        from mvc.ops.merge_rules import read_rules

        request = MergeRequest(
            revisions,
            strategy,
            dict(options or {}),
            None if weights is None else tuple(weights),
            weight_by,
            read_rules(Path(rules).absolute()) if rules is not None else "",
            include_head=include_head,
            into=into,
            message=message,
            dry_run=dry_run,
        )
        return _merged(merge(self._inner, request))

    def cherry_pick(
        self, *revisions: str, scale: float = 1.0, parent: int | None = None, message: str = ""
    ) -> tuple[MergeResult, ...]:
        """Add `scale` times what each commit changed to the current version; a result for each.

        Of a merge, `parent` (from 1) is what it is compared with. Conflicts stop at the first and
        wait for `resume` or `abort`. Raises what `merge` does.
        """
        from mvc.ops.cherry_pick import cherry_pick
        from mvc.ops.picking import PickRequest

        request = PickRequest(revisions, scale, parent, message)
        return tuple(map(_merged, cherry_pick(self._inner, request)))

    def revert(
        self, *revisions: str, scale: float = 1.0, parent: int | None = None, message: str = ""
    ) -> tuple[MergeResult, ...]:
        """Take back `scale` times what each commit changed; else as `cherry_pick`."""
        from mvc.ops.picking import PickRequest
        from mvc.ops.revert import revert

        request = PickRequest(revisions, scale, parent, message)
        return tuple(map(_merged, revert(self._inner, request)))

    def resume(
        self, verb: str = "merge", take: Mapping[str, str] | str | None = None, message: str = ""
    ) -> tuple[MergeResult, ...]:
        """End a merge (or `cherry-pick`, `revert`) that stopped for decisions.

        `take` is what all conflicts become, such as `ours`, or what those in each `FILE[:GLOB]`
        do: `{"model.safetensors:head.*": "average"}`. Files that were edited count as they are.
        Raises mvc.NegativeAnswer if nothing is under way.
        """
        from mvc.ops.resume import ResumeRequest, resume
        from mvc.repo.merging import Named, Take

        said = [Take(Named(take))] if isinstance(take, str) else []
        if isinstance(take, Mapping):
            said = [Take(Named(name), (spec,)) for spec, name in take.items()]
        request = ResumeRequest(tuple(said), message)
        return tuple(map(_merged, resume(self._inner, verb, request)))

    def abort(self, verb: str = "merge") -> MergeResult:
        """Bring branch and files back to where they were before what stopped.

        Raises mvc.NegativeAnswer if nothing is under way.
        """
        from mvc.ops.resume import abort

        return _merged(abort(self._inner, verb))

    def stats(self, *revisions: str) -> Stats:
        """Return what the repository takes, and why; with revisions, what they and theirs take.

        Reads metadata alone. Raises mvc.NotFoundError or mvc.IntegrityError.
        """
        from mvc.ops.stats import StatsRequest, stats
        from mvc.repo.holdings import VersionUse

        found = stats(self._inner, StatsRequest(revisions))
        return Stats(
            found.raw_bytes,
            found.stored_bytes,
            found.pack_bytes,
            found.metadata_bytes,
            found.index_bytes,
            found.other_bytes,
            found.kept_bytes,
            found.offloaded_bytes,
            sum(found.objects.values()),
            found.packs,
            {str(cause): tally for cause, tally in found.by_cause.items()},
            found.depths,
            {
                item.version.id.hex(): VersionUse(
                    item.raw_bytes, item.new_bytes, item.stored_bytes, item.recovery_bytes
                )
                for item in found.versions
            },
        )

    def offload(self, target: str | Path, *, dry_run: bool = False) -> int:
        """Remove lower bits of weights that the repository at `target` holds, verified one by one.

        That is a path, or a remote by its name or address. Whatever needs them reads them from
        there. Returns the bytes that this frees. Raises mvc.NotFoundError if there is no
        repository.
        """
        from mvc.ops.offload import offload, place

        found = place(self._inner, str(target), Path.cwd())
        return offload(self._inner, found, dry_run=dry_run).freed

    def bring_back(self) -> int:
        """Bring back what was offloaded and return its bytes.

        Raises mvc.NotFoundError where a repository cannot be reached, and mvc.IntegrityError where
        it does not have any more what it had.
        """
        from mvc.ops.offload import bring_back

        return bring_back(self._inner).bytes

    def close(self) -> None:
        """Release the repository's files."""
        self._inner.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _only_model(self, revision: str) -> str:
        commit = self._inner.commit(revisions.resolve(self._inner, revision))
        found = trees.files(self._inner.store, commit.tree)
        models = [path for path, entry in found.items() if entry.kind == "checkpoint"]
        if len(models) == 1:
            return models[0]
        if not models:
            raise NotFoundError(f"{revision} has no file with tensors")
        raise UsageError(f"{revision} has {len(models)} models", hint=f"say which: {models[0]}")


def _merged(found: _MergeResult) -> MergeResult:
    return MergeResult(
        found.status,
        found.branch,
        _hex(found.old),
        _hex(found.commit),
        _hex(found.tree),
        tuple(item.hex() for item in found.bases),
        tuple(MergeParent(item.name, item.commit.hex(), item.weight) for item in found.parents),
        found.message,
        dict(found.params),
        found.files,
        found.conflicts,
        found.remarks,
    )


def _hex(item: ObjectId | None) -> str | None:
    return None if item is None else item.hex()


def diff_files(
    old: str | Path, new: str | Path, *, weights: bool = True, rank: bool = False
) -> DiffResult:
    """Return what differs between two files, or two folders, that no repository needs to know.

    See `Repository.diff`.
    """
    from mvc.ops.diff import DiffRequest
    from mvc.ops.diff_files import diff_files as compare

    return compare(Path(old), Path(new), DiffRequest(weights=weights, rank=rank))
