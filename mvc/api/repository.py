"""A repository for use from Python: each method calls one operation."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from mvc.api.results import MergeResult, Stats, Version, measured, merged, version
from mvc.base.errors import NegativeAnswer, NotFoundError, UsageError
from mvc.base.ids import ObjectId
from mvc.objects.history import Metric, Scalar
from mvc.repo import revisions, trees
from mvc.repo.history import Version as HistoryVersion
from mvc.repo.history import walk
from mvc.repo.repository import Environment
from mvc.repo.repository import Repository as _Repository

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from mvc.ops.blame import BlamedFile
    from mvc.ops.diff import DiffResult
    from mvc.ops.drift import DriftResult
    from mvc.ops.history import PartChange
    from mvc.repo.arrays import TensorFile
    from mvc.store.tails import TailSource

DEFAULT_PATH = "model.safetensors"


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
        for found in walk(self._inner, [revisions.resolve(self._inner, revision)]):
            yield version(found)

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

    def bisect(
        self,
        good: str,
        bad: str,
        test: Callable[[Path], bool | None],
        *,
        paths: Sequence[str] = (),
    ) -> tuple[Version, ...]:
        """Return the first bad version: `test` calls one good (True), bad, or unfit for it (None).

        It gets a folder with the files of a version. Only versions that changed `paths` count; they
        are `PATH[:TENSOR_GLOB]`. Several versions are those of which it cannot be told which it
        is, none where no version changed the paths. Raises mvc.NegativeAnswer where the answers
        contradict each other, or another search is under way.
        """
        from mvc.ops.bisect_run import GOOD, SKIP, BisectRequest, bisect_run
        from mvc.repo import bisecting

        if bisecting.load(self._inner) is not None:
            raise NegativeAnswer(
                "a search for a bad version is under way",
                hint="`mvc bisect log` shows it, `mvc bisect reset` ends it",
            )

        def run(_: ObjectId, folder: Path) -> int:
            answer = test(folder)
            return SKIP if answer is None else GOOD if answer else 1

        request = BisectRequest(("python",), (good,), bad, tuple(paths))
        try:
            step = bisect_run(self._inner, request, run).step
        finally:
            bisecting.clear(self._inner)
        if step.state == "found" and step.version is not None:
            return (version(step.version),)
        return tuple(version(HistoryVersion(item, self._inner.commit(item))) for item in step.left)

    def drift(self, *refs: str, base: str | None = None, paths: Sequence[str] = ()) -> DriftResult:
        """Return how far versions are from `base`, by layer; those farthest away come first.

        `refs` are versions or patterns, by default the branches of devices; `base` is by default
        their newest common ancestor; `paths` are `PATH[:TENSOR_GLOB]`. Ids in the result are bytes.
        Raises mvc.NotFoundError or mvc.UsageError.
        """
        from mvc.ops.drift import DriftRequest, drift

        return drift(self._inner, DriftRequest(refs, base, tuple(paths)))

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
        return merged(merge(self._inner, request))

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
        return tuple(map(merged, cherry_pick(self._inner, request)))

    def revert(
        self, *revisions: str, scale: float = 1.0, parent: int | None = None, message: str = ""
    ) -> tuple[MergeResult, ...]:
        """Take back `scale` times what each commit changed; else as `cherry_pick`."""
        from mvc.ops.picking import PickRequest
        from mvc.ops.revert import revert

        request = PickRequest(revisions, scale, parent, message)
        return tuple(map(merged, revert(self._inner, request)))

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
        return tuple(map(merged, resume(self._inner, verb, request)))

    def abort(self, verb: str = "merge") -> MergeResult:
        """Bring branch and files back to where they were before what stopped.

        Raises mvc.NegativeAnswer if nothing is under way.
        """
        from mvc.ops.resume import abort

        return merged(abort(self._inner, verb))

    def stats(self, *revisions: str) -> Stats:
        """Return what the repository takes, and why; with revisions, what they and theirs take.

        Reads metadata alone. Raises mvc.NotFoundError or mvc.IntegrityError.
        """
        from mvc.ops.stats import StatsRequest, stats

        return measured(stats(self._inner, StatsRequest(revisions)))

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


def diff_files(
    old: str | Path, new: str | Path, *, weights: bool = True, rank: bool = False
) -> DiffResult:
    """Return what differs between two files, or two folders, that no repository needs to know.

    See `Repository.diff`.
    """
    from mvc.ops.diff import DiffRequest
    from mvc.ops.diff_files import diff_files as compare

    return compare(Path(old), Path(new), DiffRequest(weights=weights, rank=rank))
