from __future__ import annotations

import errno
import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from mvc.base import fileio
from mvc.base.errors import (
    FormatError,
    NegativeAnswer,
    NotAllowedError,
    NotFoundError,
    StorageError,
)


def open_files() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


def refuse(number: int):
    def call(*_: object, **__: object) -> None:
        raise OSError(number, os.strerror(number))

    return call


def test_a_file_is_read_in_pieces(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"0123456789")
    with fileio.Reader(path) as reader:
        assert reader.size == 10
        assert reader.read_at(3, 4) == b"3456"
        assert reader.read_at(10, 0) == b""
        assert not reader.changed()


@pytest.mark.parametrize(("offset", "length"), [(0, 11), (10, 1), (-1, 2), (0, -1), (2**62, 2**62)])
def test_bytes_outside_a_file_are_an_error(tmp_path: Path, offset: int, length: int) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"0123456789")
    with fileio.Reader(path) as reader, pytest.raises(FormatError):
        reader.read_at(offset, length)


def test_reading_goes_on_after_a_short_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"0123456789")
    pread = os.pread
    monkeypatch.setattr(os, "pread", lambda fd, length, at: pread(fd, min(length, 3), at))
    with fileio.Reader(path) as reader:
        assert reader.read_at(1, 9) == b"123456789"


def test_bytes_of_a_staged_file_can_be_replaced_but_not_added_that_way(tmp_path: Path) -> None:
    staged = fileio.StagedFile(tmp_path)
    staged.write(b"0123456789")
    staged.patch(8, b"xy")
    staged.write(b"z")
    for at, data in ((10, b"ab"), (-1, b"a")):
        with pytest.raises(FormatError):
            staged.patch(at, data)
    assert staged.seal().read_bytes() == b"01234567xyz"


def test_a_file_that_became_shorter_is_noticed(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"0123456789")
    with fileio.Reader(path) as reader:
        os.truncate(path, 4)
        assert reader.changed()
        with pytest.raises(StorageError, match="shorter"):
            reader.read_at(0, 10)


def test_a_file_written_in_place_is_noticed(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"0123456789")
    os.utime(path, ns=(1, 1))
    with fileio.Reader(path) as reader:
        path.write_bytes(b"9876543210")
        assert reader.changed()


def test_a_file_replaced_under_its_name_is_noticed(tmp_path: Path) -> None:
    path, other = tmp_path / "file", tmp_path / "other"
    path.write_bytes(b"0123456789")
    other.write_bytes(b"0123456789")
    with fileio.Reader(path) as reader:
        other.replace(path)
        assert reader.changed()
        assert reader.read_at(0, 10) == b"0123456789"


def test_a_fifo_is_refused_without_waiting_for_a_writer(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")
    with pytest.raises(StorageError, match="not a regular file"):
        fileio.Reader(tmp_path / "fifo")
    assert fileio.stat_file(tmp_path / "fifo") is None


def test_a_link_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"secret")
    (tmp_path / "link").symlink_to("file")
    with pytest.raises(StorageError):
        fileio.Reader(tmp_path / "link")
    assert fileio.stat_file(tmp_path / "link") is None


def test_a_directory_is_not_a_file(tmp_path: Path) -> None:
    before = open_files()
    with pytest.raises(StorageError, match="not a regular file"):
        fileio.Reader(tmp_path)
    assert open_files() == before


@pytest.mark.parametrize("name", ["nothing", "file/below"])
def test_what_is_not_there_is_not_found(tmp_path: Path, name: str) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(NotFoundError):
        fileio.read_bytes(tmp_path / name)
    assert fileio.stat_file(tmp_path / name) is None


def test_a_limit_is_checked_before_reading(tmp_path: Path) -> None:
    with (tmp_path / "sparse").open("wb") as file:
        file.truncate(2**40)
    with pytest.raises(FormatError, match="more than"):
        fileio.read_bytes(tmp_path / "sparse", 1000)


def test_a_closed_reader_reads_nothing(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"abc")
    reader = fileio.Reader(tmp_path / "file")
    reader.close()
    reader.close()
    with pytest.raises(StorageError):
        reader.read_at(0, 1)


def test_walking_follows_no_links_and_skips_what_it_is_told(tmp_path: Path) -> None:
    for name in ("b/x", "a", "b/a", ".mvc/hidden", "c/.mvc/hidden"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(name.encode())
    (tmp_path / "link").symlink_to("b")
    os.mkfifo(tmp_path / "fifo")
    found = list(fileio.walk_files(tmp_path, (".mvc",)))
    assert [entry.parts for entry in found] == [("a",), ("b", "a"), ("b", "x")]
    assert found[1].stat.size == 3
    assert fileio.disk_bytes(tmp_path / "b") == 6


def test_a_directory_that_vanishes_during_a_walk_is_passed_over(tmp_path: Path) -> None:
    for name in ("a", "b/x", "c/x"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"")
    walk = fileio.walk_files(tmp_path, ())
    assert next(walk).parts == ("a",)
    (tmp_path / "b" / "x").unlink()
    (tmp_path / "b").rmdir()
    assert [entry.parts for entry in walk] == [("c", "x")]


def test_a_directory_that_is_not_there_cannot_be_walked(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError):
        list(fileio.walk_files(tmp_path / "nothing", ()))


def test_a_staged_file_has_no_name_before_it_is_complete(tmp_path: Path) -> None:
    staged = fileio.StagedFile(tmp_path / "tmp")
    staged.write(b"one")
    staged.write(memoryview(b"2222").cast("H"))
    assert staged.size == 7
    target = tmp_path / "deep" / "er" / "target"
    assert fileio.publish_new(staged.seal(), target)
    staged.discard()
    assert target.read_bytes() == b"one2222"
    assert list((tmp_path / "tmp").iterdir()) == []


def test_a_write_goes_on_after_a_short_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write = os.write
    monkeypatch.setattr(os, "write", lambda fd, data: write(fd, bytes(data)[:2]))
    fileio.write_file(tmp_path / "file", b"0123456789", tmp_path / "tmp")
    fileio.append_line(tmp_path / "log", b"a whole line")
    assert (tmp_path / "file").read_bytes() == b"0123456789"
    assert (tmp_path / "log").read_bytes() == b"a whole line\n"


def test_a_name_that_is_taken_keeps_its_content(tmp_path: Path) -> None:
    (tmp_path / "target").write_bytes(b"first")
    staged = fileio.StagedFile(tmp_path)
    staged.write(b"second")
    assert not fileio.publish_new(staged.seal(), tmp_path / "target")
    assert [path.name for path in tmp_path.iterdir()] == ["target"]
    assert (tmp_path / "target").read_bytes() == b"first"


@pytest.mark.parametrize("taken", [False, True])
def test_a_file_system_without_hard_links_does_as_well(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, taken: bool
) -> None:
    monkeypatch.setattr(os, "link", refuse(errno.EPERM))
    if taken:
        (tmp_path / "target").write_bytes(b"first")
    staged = fileio.StagedFile(tmp_path)
    staged.write(b"second")
    assert fileio.publish_new(staged.seal(), tmp_path / "target") is not taken
    assert [path.name for path in tmp_path.iterdir()] == ["target"]
    assert (tmp_path / "target").read_bytes() == (b"first" if taken else b"second")


def test_a_move_between_disks_is_a_copy_that_leaves_nothing_behind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    replace = os.replace

    def across(source: Path, target: Path) -> None:
        if Path(source).parent != Path(target).parent:
            raise OSError(errno.EXDEV, "other disk")
        replace(source, target)

    monkeypatch.setattr(os, "replace", across)
    fileio.write_file(tmp_path / "out" / "file", b"data", tmp_path / "tmp")
    assert (tmp_path / "out" / "file").read_bytes() == b"data"
    assert list((tmp_path / "tmp").iterdir()) == []
    monkeypatch.setattr(os, "fsync", refuse(errno.EIO))
    staged = fileio.StagedFile(tmp_path / "tmp")
    with pytest.raises(StorageError):
        fileio.publish(staged.seal(durable=False), tmp_path / "out" / "file")
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["file"]


@pytest.mark.parametrize("call", ["write", "fsync", "close", "replace"])
@pytest.mark.parametrize("number", [errno.EIO, errno.ENOSPC, errno.EDQUOT])
def test_a_file_that_cannot_be_written_stays_as_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: str, number: int
) -> None:
    (tmp_path / "file").write_bytes(b"old")
    with monkeypatch.context() as patch:
        patch.setattr(os, call, refuse(number))
        with pytest.raises(StorageError):
            fileio.write_file(tmp_path / "file", b"new", tmp_path / "tmp")
    assert (tmp_path / "file").read_bytes() == b"old"
    assert list((tmp_path / "tmp").iterdir()) == []


def test_a_failed_flush_is_never_tried_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = []

    def fail(fd: int) -> None:
        calls.append(fd)
        raise OSError(errno.EIO, "lost")

    monkeypatch.setattr(os, "fsync", fail)
    staged = fileio.StagedFile(tmp_path)
    calls.clear()
    with pytest.raises(StorageError):
        staged.seal()
    staged.discard()
    assert len(calls) == 1


def test_discarding_after_a_failed_close_raises_nothing_of_its_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    staged = fileio.StagedFile(tmp_path)
    with monkeypatch.context() as patch:
        patch.setattr(os, "close", refuse(errno.EIO))
        staged.discard()
    assert list(tmp_path.iterdir()) == []


def test_a_full_disk_is_told_from_a_forbidden_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(os, "write", refuse(errno.ENOSPC))
        with pytest.raises(StorageError) as full:
            fileio.write_file(tmp_path / "file", b"x", tmp_path / "tmp")
    assert "free some space" in (full.value.hint or "")
    with monkeypatch.context() as patch:
        patch.setattr(os, "open", refuse(errno.EROFS))
        with pytest.raises(NotAllowedError):
            fileio.write_file(tmp_path / "file", b"x", tmp_path / "tmp")


def test_a_directory_that_cannot_be_flushed_is_fine_where_that_does_not_exist(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "fsync", refuse(errno.EINVAL))
    fileio.sync_dir(tmp_path)
    monkeypatch.setattr(os, "fsync", refuse(errno.EIO))
    with pytest.raises(StorageError):
        fileio.sync_dir(tmp_path)


def test_a_line_after_a_torn_one_starts_anew(tmp_path: Path) -> None:
    log = tmp_path / "logs" / "log"
    fileio.append_line(log, b"one")
    with log.open("ab") as file:
        file.write(b"torn")
    fileio.append_line(log, b"two")
    assert log.read_bytes() == b"one\ntorn\ntwo\n"


def test_a_line_that_does_not_fit_is_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write = os.write
    calls = []

    def filling(fd: int, data: bytes) -> int:
        calls.append(fd)
        if len(calls) > 1:
            raise OSError(errno.ENOSPC, "full")
        return write(fd, bytes(data)[:3])

    monkeypatch.setattr(os, "write", filling)
    with pytest.raises(StorageError):
        fileio.append_line(tmp_path / "log", b"a whole line")


def test_removing_what_is_not_there_does_nothing(tmp_path: Path) -> None:
    fileio.remove(tmp_path / "nothing")
    fileio.clear(tmp_path / "nothing")
    assert fileio.names(tmp_path / "nothing") == []


def test_empty_directories_are_removed_up_to_a_stop(tmp_path: Path) -> None:
    deep = tmp_path / "stop" / "a" / "b" / "c"
    deep.mkdir(parents=True)
    fileio.remove_empty_dirs(deep, tmp_path / "stop")
    assert list((tmp_path / "stop").iterdir()) == []
    (tmp_path / "stop" / "a" / "b").mkdir(parents=True)
    (tmp_path / "stop" / "a" / "kept").write_bytes(b"")
    fileio.remove_empty_dirs(tmp_path / "stop" / "a" / "b", tmp_path / "stop")
    assert [path.name for path in (tmp_path / "stop" / "a").iterdir()] == ["kept"]


def test_a_lock_excludes_other_processes_and_dies_with_its_holder(tmp_path: Path) -> None:
    path = tmp_path / "locks" / "lock"
    program = (
        "import sys, time; from pathlib import Path; from mvc.base.fileio import locked\n"
        "with locked(Path(sys.argv[1])):\n    print('held', flush=True); time.sleep(60)\n"
    )
    child = subprocess.Popen([sys.executable, "-c", program, path], stdout=subprocess.PIPE)
    with child:
        assert child.stdout is not None
        assert child.stdout.readline() == b"held\n"
        with pytest.raises(NegativeAnswer), fileio.locked(path, wait=False):
            pass
        child.kill()
        child.wait()
    with fileio.locked(path, wait=False):
        assert path.exists()


def test_a_shared_lock_is_held_by_several_and_keeps_out_who_wants_it_alone(
    tmp_path: Path,
) -> None:
    path = tmp_path / "lock"
    with (
        fileio.locked(path, shared=True),
        fileio.locked(path, wait=False, shared=True),
        pytest.raises(NegativeAnswer),
        fileio.locked(path, wait=False),
    ):
        pass
    with (
        fileio.locked(path),
        pytest.raises(NegativeAnswer),
        fileio.locked(path, wait=False, shared=True),
    ):
        pass


def test_threads_take_a_lock_in_turn(tmp_path: Path) -> None:
    inside = 0
    seen = []

    def work() -> None:
        nonlocal inside
        with fileio.locked(tmp_path / "lock"):
            inside += 1
            seen.append(inside)
            inside -= 1

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert seen == [1] * 8


def test_a_lock_that_the_file_system_refuses_is_an_error_of_ours(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fileio.fcntl, "flock", refuse(errno.ENOLCK))
    before = open_files()
    with pytest.raises(StorageError), fileio.locked(tmp_path / "lock"):
        pass
    assert open_files() == before


def test_a_live_workspace_is_left_alone(tmp_path: Path) -> None:
    with fileio.Workspace(tmp_path) as space:
        (space.path / "work").write_bytes(b"x")
        fileio.reap(tmp_path)
        assert (space.path / "work").read_bytes() == b"x"
    assert not space.path.exists()


def test_closing_a_workspace_twice_closes_no_other_file(tmp_path: Path) -> None:
    space = fileio.Workspace(tmp_path)
    space.close()
    with (tmp_path / "other").open("wb") as other:
        space.close()
        other.write(b"still open")
        other.flush()
    assert (tmp_path / "other").read_bytes() == b"still open"


def test_the_workspace_of_a_killed_process_is_reaped(tmp_path: Path) -> None:
    program = (
        "import sys, time; from pathlib import Path; from mvc.base.fileio import Workspace\n"
        "space = Workspace(Path(sys.argv[1])); (space.path / 'staged-1').write_bytes(b'x' * 99)\n"
        "print('ready', flush=True); time.sleep(60)\n"
    )
    child = subprocess.Popen([sys.executable, "-c", program, tmp_path], stdout=subprocess.PIPE)
    with child:
        assert child.stdout is not None
        assert child.stdout.readline() == b"ready\n"
        fileio.reap(tmp_path)
        assert any(name.startswith("tx-") for name in fileio.names(tmp_path))
        child.kill()
        child.wait()
    fileio.reap(tmp_path)
    assert fileio.names(tmp_path) == ["lock"]


@pytest.mark.parametrize("left", [(), ("staged-1", "staged-2")])
def test_a_workspace_without_an_owner_file_is_reaped_with_all_it_holds(
    tmp_path: Path, left: tuple[str, ...]
) -> None:
    folder = tmp_path / "tx-0123456789abcdef"
    folder.mkdir()
    for name in left:
        (folder / name).write_bytes(b"left over")
    fileio.reap(tmp_path)
    assert fileio.names(tmp_path) == ["lock"]


def test_reaping_takes_nothing_but_workspaces(tmp_path: Path) -> None:
    (tmp_path / "values").mkdir()
    (tmp_path / "values" / "kept").write_bytes(b"")
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "kept").write_bytes(b"")
    (tmp_path / "tx-link").symlink_to("elsewhere")
    fileio.reap(tmp_path)
    assert (tmp_path / "values" / "kept").exists()
    assert (tmp_path / "elsewhere" / "kept").exists()


def staged(folder: Path, data: bytes) -> Path:
    file = fileio.StagedFile(folder)
    file.write(data)
    return file.seal()


def test_a_file_reaches_its_place_below_a_root(tmp_path: Path) -> None:
    root = tmp_path / "root"
    root.mkdir()
    tree = fileio.Anchored(root)
    stat = tree.put(staged(tmp_path, b"data"), ("a", "b", "c"))
    assert (root / "a" / "b" / "c").read_bytes() == b"data"
    assert stat == fileio.stat_file(root / "a" / "b" / "c")
    tree.remove(("a", "b", "c"))
    assert list(root.iterdir()) == []


def test_a_link_in_the_way_is_never_followed(tmp_path: Path) -> None:
    root, outside = tmp_path / "root", tmp_path / "outside"
    root.mkdir()
    outside.mkdir()
    (outside / "file").write_bytes(b"theirs")
    (root / "dir").symlink_to("../outside")
    (root / "deep").mkdir()
    (root / "deep" / "dir").symlink_to(outside)
    tree = fileio.Anchored(root)
    before = open_files()
    for parts in (("dir", "file"), ("deep", "dir", "new"), ("dir", "below", "file")):
        with pytest.raises(NegativeAnswer, match="in the way"):
            tree.put(staged(tmp_path, b"ours"), parts)
        tree.remove(parts)
    assert open_files() == before
    assert [path.name for path in outside.iterdir()] == ["file"]
    assert (outside / "file").read_bytes() == b"theirs"


def test_a_link_at_the_place_itself_is_replaced(tmp_path: Path) -> None:
    root = tmp_path / "root"
    root.mkdir()
    (tmp_path / "outside").write_bytes(b"theirs")
    (root / "file").symlink_to("../outside")
    fileio.Anchored(root).put(staged(tmp_path, b"ours"), ("file",))
    assert not (root / "file").is_symlink()
    assert (tmp_path / "outside").read_bytes() == b"theirs"


def test_files_and_directories_in_the_way_stay(tmp_path: Path) -> None:
    root = tmp_path / "root"
    (root / "dir").mkdir(parents=True)
    (root / "dir" / "kept").write_bytes(b"kept")
    (root / "file").write_bytes(b"kept")
    tree = fileio.Anchored(root)
    for parts in (("dir",), ("file", "below")):
        with pytest.raises(NegativeAnswer, match="in the way"):
            tree.put(staged(tmp_path, b"ours"), parts)
    tree.remove(("file", "below"))
    assert (root / "file").read_bytes() == (root / "dir" / "kept").read_bytes() == b"kept"


@pytest.mark.parametrize(
    "parts",
    [
        ("..", "file"),
        ("a", "..", "..", "file"),
        ("..",),
        ("",),
        (".",),
        ("a/../../file",),
        ("/file",),
        ("a\0b",),
        (),
    ],
)
def test_no_component_leads_out_of_the_root(tmp_path: Path, parts: tuple[str, ...]) -> None:
    root = tmp_path / "root"
    (root / "a").mkdir(parents=True)
    tree = fileio.Anchored(root)
    (tmp_path / "file").write_bytes(b"theirs")
    source = staged(tmp_path / "tmp", b"ours")
    with pytest.raises(FormatError):
        tree.put(source, parts)
    with pytest.raises(FormatError):
        tree.remove(parts)
    assert (tmp_path / "file").read_bytes() == b"theirs"


def test_removing_a_file_leaves_its_neighbours(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    for name in ("one", "two"):
        (tmp_path / "a" / name).write_bytes(b"")
    tree = fileio.Anchored(tmp_path)
    tree.remove(("a", "one"))
    tree.remove(("a", "nothing"))
    tree.remove(("nothing", "at", "all"))
    assert fileio.names(tmp_path / "a") == ["two"]


def test_a_private_file_was_never_open_to_others(tmp_path: Path) -> None:
    staged_file = fileio.StagedFile(tmp_path / "tmp", private=True)
    assert fileio.is_private(staged_file.path)
    staged_file.discard()
    fileio.write_file(tmp_path / "secret", b"1", tmp_path / "tmp", private=True)
    fileio.write_file(tmp_path / "other", b"1", tmp_path / "tmp")
    assert fileio.is_private(tmp_path / "secret")
    (tmp_path / "other").chmod(0o640)
    assert not fileio.is_private(tmp_path / "other")
    with pytest.raises(NotFoundError):
        fileio.is_private(tmp_path / "nothing")
