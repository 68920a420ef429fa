from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from mvc.base.errors import NegativeAnswer, NotFoundError, StorageError
from mvc.ops import branch, cat_object, identify, ls_tree, mv, reflog, rm, show, tag
from mvc.ops.add import add
from mvc.ops.commit import CommitRequest, commit
from mvc.ops.init import init
from mvc.ops.log import LogRequest, decorations, log
from mvc.ops.status import status
from mvc.repo import worktree
from mvc.repo.repository import Environment, Repository


@pytest.fixture
def repo(tmp_path: Path) -> Iterator[Repository]:
    with Repository.init(tmp_path / "work", environment=Environment(author="Ada")) as made:
        yield made


def record(repo: Repository, message: str, **files: bytes | None) -> bytes:
    for name, data in files.items():
        path = repo.root / name.replace("__", "/")
        path.parent.mkdir(parents=True, exist_ok=True)
        if data is None:
            path.unlink()
        else:
            path.write_bytes(data)
    add(repo, [repo.root])
    return commit(repo, CommitRequest(message, allow_empty=True)).id


def test_making_a_repository_twice_changes_nothing(tmp_path: Path) -> None:
    first = init(tmp_path / "x")
    with Repository.discover(tmp_path / "x", Environment(author="Ada")) as repo:
        head = record(repo, "one", a=b"a")
    second = init(tmp_path / "x")
    assert (first.existed, second.existed, second.folder) == (False, True, first.folder)
    with Repository.discover(tmp_path / "x") as repo:
        assert repo.head_commit() == head


def test_a_moved_file_need_not_be_read_again(
    repo: Repository, monkeypatch: pytest.MonkeyPatch
) -> None:
    record(repo, "one", a=b"content")
    mv.move(repo, [repo.root / "a"], repo.root / "b" / "c")
    record(repo, "two")
    monkeypatch.setattr(worktree, "hash_file", refuse)
    assert status(repo).clean
    assert not (repo.root / "a").exists()


def refuse(path: Path) -> None:
    raise StorageError(f"{path} was read")


def test_a_file_changed_before_it_was_moved_is_still_seen_as_changed(repo: Repository) -> None:
    record(repo, "one", a=b"content")
    (repo.root / "a").write_bytes(b"CONTENT")
    mv.move(repo, [repo.root / "a"], repo.root / "b")
    second = record(repo, "two")
    row = {row.path: row for row in ls_tree.ls_tree(repo, second.hex())}["b"]
    assert cat_object.cat_object(repo, row.id.hex()).value()[1][2] == b"CONTENT"  # type: ignore[index]


def test_removing_checks_everything_before_it_removes_anything(repo: Repository) -> None:
    record(repo, "one", a=b"a", b=b"b")
    (repo.root / "b").write_bytes(b"changed")
    with pytest.raises(NegativeAnswer):
        rm.remove(repo, [repo.root / "a", repo.root / "b"])
    assert (repo.root / "a").exists()


def test_the_log_reads_only_what_is_asked_for(
    repo: Repository, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(5):
        record(repo, str(number))
    read = []
    original = repo.commit
    monkeypatch.setattr(repo, "commit", lambda wanted: read.append(wanted) or original(wanted))
    assert [item.commit.message for item in log(repo, LogRequest(limit=1))] == ["4"]
    assert len(read) == 1


def test_each_tree_and_file_is_looked_into_once(
    repo: Repository, monkeypatch: pytest.MonkeyPatch
) -> None:
    record(repo, "0", m__model=b"wanted", m__n__other=b"unlike")
    for number in range(1, 6):
        record(repo, str(number), note=str(number).encode())
    asked: list[bytes] = []
    original = identify.file_sha256

    def counted(store: object, entry: object) -> bytes:
        asked.append(entry.id)  # type: ignore[attr-defined]
        return original(store, entry)  # type: ignore[arg-type]

    monkeypatch.setattr(identify, "file_sha256", counted)
    found = identify.identify(repo, repo.root / "m" / "model")
    assert [match.version.commit.message for match in found.matches] == list("543210")
    assert {match.paths for match in found.matches} == {("m/model",)}
    assert len(asked) == len(set(asked)) == 2


def test_an_unborn_branch_is_renamed(repo: Repository) -> None:
    assert branch.rename(repo, None, "trunk") == "main"
    record(repo, "one")
    assert [item.name for item in branch.branches(repo)] == ["trunk"]


@pytest.mark.parametrize("step", ["update", "set_head"])
def test_head_is_at_a_branch_that_exists_wherever_a_renaming_stops(
    repo: Repository, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    head = record(repo, "one")
    original = getattr(repo.refs, step)

    def stopped(*arguments: object) -> None:
        original(*arguments)
        raise KeyboardInterrupt

    *where, name = step.split(".")
    monkeypatch.setattr(repo.refs if not where else getattr(repo.refs, *where), name, stopped)
    with pytest.raises(KeyboardInterrupt):
        branch.rename(repo, None, "trunk")
    assert repo.head_commit() == head


def test_decorations_name_what_is_at_a_commit(repo: Repository) -> None:
    one = record(repo, "one")
    tag.create(repo, "v1", message="annotated")
    tag.create(repo, "v0")
    branch.create(repo, "other")
    assert decorations(repo) == {one: ("HEAD -> main", "other", "tag: v0", "tag: v1")}


def test_a_merge_passes_a_filter_only_if_it_differs_from_all_its_parents(
    repo: Repository,
) -> None:
    from mvc.objects.history import Commit
    from mvc.store.transaction import Transaction

    base = record(repo, "base", a=b"0")
    left = record(repo, "left", a=b"1")
    repo.advance(left, base, "back")  # type: ignore[arg-type]
    right = record(repo, "right", a=b"0", b=b"2")
    tree = repo.commit(left).tree  # type: ignore[arg-type]
    with Transaction(repo.store, repo.scratch) as tx:
        merge = tx.put(Commit(tree, (left, right), "Ada", 2**60, "merge"))  # type: ignore[arg-type]
        tx.commit()
    repo.advance(right, merge, "merge")  # type: ignore[arg-type]
    assert [item.commit.message for item in log(repo, LogRequest(filters=("a",)))] == [
        "left",
        "base",
    ]
    changed = show.show(repo, "HEAD")
    assert isinstance(changed, show.ShownCommit)
    assert changed.changes == ()


def test_what_only_the_reflog_knows_is_found(repo: Repository) -> None:
    record(repo, "one", a=b"wanted")
    branch.create(repo, "keep")
    lost = record(repo, "two", b=b"lost")
    repo.advance(lost, repo.commit(lost).parents[0], "reset")  # type: ignore[arg-type]
    (match,) = identify.identify(repo, repo.root / "b").matches
    assert match.version.id == lost
    assert reflog.reflog(repo)[0].change.old == lost
    with pytest.raises(NotFoundError):
        reflog.reflog(repo, "../HEAD")


def test_a_renamed_branch_keeps_its_log(repo: Repository) -> None:
    one = record(repo, "one")
    two = record(repo, "two")
    branch.rename(repo, None, "trunk")
    steps = reflog.reflog(repo, "trunk")
    assert [step.change.new for step in steps] == [two, two, one]
    assert steps[0].change.reason == "branch: renamed main to trunk"
    with pytest.raises(NotFoundError):
        reflog.reflog(repo, "main")


def test_a_branch_is_made_without_reading_the_others(
    repo: Repository, monkeypatch: pytest.MonkeyPatch
) -> None:
    record(repo, "one")
    branch.create(repo, "first")
    read: list[str] = []
    original = repo.storage.read
    monkeypatch.setattr(repo.storage, "read", lambda key: read.append(key) or original(key))
    branch.create(repo, "second")
    assert "refs/heads/first" not in read


@pytest.mark.parametrize("step", ["_logs.move", "set_head", "update"])
def test_no_log_is_lost_wherever_a_renaming_stops(
    repo: Repository, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    head = record(repo, "one")

    def stopped(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    *where, name = step.split(".")
    monkeypatch.setattr(repo.refs if not where else getattr(repo.refs, *where), name, stopped)
    with pytest.raises(KeyboardInterrupt):
        branch.rename(repo, None, "trunk")
    monkeypatch.undo()
    assert repo.head_commit() == head
    current = repo.refs.head().branch
    assert current is not None
    assert reflog.reflog(repo, current)[-1].change.reason == "commit (initial): one"
