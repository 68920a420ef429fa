"""Odd things in a working copy: what is no file is named, nothing hangs, nothing is followed."""

from __future__ import annotations

import os
import socket
import threading
from pathlib import Path

import pytest

from mvc.base import fileio
from mvc.base.errors import MvcError, NegativeAnswer, NotFoundError, StorageError
from mvc.ops import commit as commit_module
from tests.e2e.world import World, network, weights

MB = 1 << 20


@pytest.fixture
def world(tmp_path: Path) -> World:
    world = World(tmp_path / "w")
    world.save({"good": b"good"})
    return world


def _socket(path: Path) -> None:
    here = Path.cwd()
    os.chdir(path.parent)
    try:
        with socket.socket(socket.AF_UNIX) as server:
            server.bind(path.name)
    finally:
        os.chdir(here)


def _device(path: Path) -> None:
    try:
        os.mknod(path, 0o600 | 0o020000, os.makedev(1, 5))
    except PermissionError:
        pytest.skip("only root makes devices")


ODD = {
    "a pipe": os.mkfifo,
    "a device": _device,
    "a socket": _socket,
    "a dangling link": lambda path: path.symlink_to("nowhere"),
    "a link to a file outside": lambda path: path.symlink_to("/etc/hostname"),
    "a link to a file inside": lambda path: path.symlink_to("good"),
    "a link to a folder": lambda path: path.symlink_to("/etc"),
    "a link to itself": lambda path: path.symlink_to(path.name),
}


@pytest.mark.parametrize("kind", ODD)
def test_what_is_no_file_is_refused_by_its_name_and_passed_over_in_a_folder(
    world: World, kind: str
) -> None:
    ODD[kind](world.root / "odd")
    with pytest.raises(NegativeAnswer, match="odd is neither a file nor a directory"):
        world.add("odd")
    assert world.add().added == ()
    assert world.status().clean
    assert world.status().untracked == ()


@pytest.mark.parametrize("kind", ODD)
def test_what_takes_the_place_of_a_tracked_file_is_never_read(world: World, kind: str) -> None:
    (world.root / "good").unlink()
    if kind == "a link to a file inside":
        world.write("other", b"good")
        (world.root / "good").symlink_to("other")
    else:
        ODD[kind](world.root / "good")
    assert world.status().modified == ("good",)
    assert world.exported("HEAD", world.root.parent / "out") == {"good": b"good"}


@pytest.mark.parametrize("path", ["link/secret", "link/sub", "link/sub/secret"])
def test_nothing_behind_a_link_is_tracked(world: World, path: str) -> None:
    outside = world.root.parent / "outside"
    (outside / "sub").mkdir(parents=True)
    (outside / "secret").write_bytes(b"secret")
    (outside / "sub/secret").write_bytes(b"secret")
    (world.root / "link").symlink_to(outside)
    with pytest.raises((NegativeAnswer, NotFoundError)):
        world.add(path)
    assert world.add().added == ()


def test_a_file_outside_and_one_of_the_repository_itself_are_refused(world: World) -> None:
    (world.root.parent / "outside").write_bytes(b"x")
    with pytest.raises(NotFoundError, match="outside the repository"):
        world.add("../outside")
    with pytest.raises(NegativeAnswer):
        world.add(".mvc/HEAD")
    with pytest.raises(MvcError):
        world.add(".mvc")


@pytest.mark.parametrize(
    "name",
    [b"new\nline", b"\x1b[2J", b"tab\t", b"con", b"a:", b"dot.", b"space ", b"\xff\xfe", b"a\\b"],
    ids=ascii,
)
def test_a_name_that_other_systems_cannot_have_is_refused_in_one_sentence(
    world: World, name: bytes
) -> None:
    path = os.fsencode(world.root) + b"/" + name
    with open(path, "wb") as file:  # noqa: PTH123
        file.write(b"x")
    world.write("plain", b"x")
    with pytest.raises(NegativeAnswer, match="cannot be versioned") as caught:
        world.add()
    for letter in "\n\x1b\t\udcff":
        assert letter not in caught.value.message
    assert "plain" in world.status().untracked
    assert world.add("plain").added == ("plain",)
    world.commit()
    world.check()


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_an_unreadable_file_is_named(world: World) -> None:
    world.write("locked", b"x").chmod(0)
    world.add("locked")
    with pytest.raises(MvcError, match="locked"):
        world.commit()


def test_a_file_that_may_not_be_read_is_named_and_nothing_is_committed(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    from tests.e2e.faults import FaultyOs

    world.write("locked", b"x")
    world.add()
    before = world.repo.head_commit()

    def deny(name: str, args: tuple[object, ...]) -> None:
        if name == "open" and str(args[0]).endswith("locked"):
            raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(fileio, "os", FaultyOs(deny, reads=True))
    with pytest.raises(MvcError, match="locked") as caught:
        world.commit()
    assert caught.value.exit_code == 5
    monkeypatch.undo()
    assert world.repo.head_commit() == before
    world.commit()


def test_a_file_that_grows_without_end_is_refused_or_stored_as_it_was(world: World) -> None:
    path = world.write("growing", weights(1, 4 * MB))
    world.add()
    stop = threading.Event()

    def grow() -> None:
        with path.open("ab", buffering=0) as file:
            while not stop.is_set():
                file.write(b"more" * 1000)

    thread = threading.Thread(target=grow)
    thread.start()
    try:
        with pytest.raises(StorageError, match="growing changes while it is read"):
            world.commit()
    finally:
        stop.set()
        thread.join()
    world.commit()
    assert world.exported("HEAD", world.root.parent / "out")["growing"] == path.read_bytes()
    world.check()


@pytest.mark.parametrize("how", ["replaced", "rewritten", "cut", "mapped"])
def test_a_file_that_changes_once_while_it_is_read_is_read_again(
    world: World, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    import mmap

    old, new = network({"w": weights(1, 2 * MB)}), network({"w": weights(2, 2 * MB)})
    path = world.write("m", old)
    world.add()
    real, done = commit_module.ingest, []

    def changing(*args: object, **options: object) -> object:
        result = real(*args, **options)  # type: ignore[arg-type]
        if not done:
            done.append(how)
            if how == "replaced":
                world.write("fresh", new).replace(path)
            elif how == "rewritten":
                path.write_bytes(new)
            elif how == "cut":
                os.truncate(path, MB)
            else:
                with path.open("r+b") as file, mmap.mmap(file.fileno(), 0) as mapped:
                    mapped[-MB:] = new[-MB:]
                    mapped.flush()
        return result

    monkeypatch.setattr(commit_module, "ingest", changing)
    world.commit()
    assert world.exported("HEAD", world.root.parent / "out")["m"] == path.read_bytes()
    assert world.status().clean
    world.check()


def test_a_file_that_vanishes_before_it_is_read_is_named(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = world.write("m", b"x" * 100)
    world.add()
    real = fileio.Reader.__init__

    def gone(reader: fileio.Reader, where: Path) -> None:
        path.unlink(missing_ok=True)
        real(reader, where)

    monkeypatch.setattr(commit_module.fileio.Reader, "__init__", gone)
    with pytest.raises((NotFoundError, NegativeAnswer)):
        world.commit()
    monkeypatch.undo()
    assert world.status().clean


def test_lines_that_are_no_pattern_are_passed_over(world: World) -> None:
    world.write("a.tmp", b"x")
    world.write("b", b"x")
    world.write(".mvcignore", b"!\n[\n\\\n\x00\xff\n/\n*.tmp\n" + b"(" * 5000)
    assert set(world.status().untracked) == {"b", ".mvcignore"}


@pytest.mark.parametrize("kind", ["a pipe", "a folder", "a link to itself"])
def test_an_ignore_file_that_is_no_file_is_an_error_and_no_hang(world: World, kind: str) -> None:
    path = world.root / ".mvcignore"
    path.mkdir() if kind == "a folder" else ODD[kind](path)
    with pytest.raises(StorageError, match="mvcignore"):
        world.status()
