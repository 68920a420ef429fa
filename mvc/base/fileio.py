"""The one module that touches the file system.

It owns durability (write, fsync, rename, fsync of the directory), kernel locks and safe path
walking, and it is where faults are injected in tests. An fsync that failed is never tried again:
the pages may be gone (docs/architecture.md, "Order of writes").
"""

from __future__ import annotations

import errno
import fcntl
import os
import stat as stat_module
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Self

from mvc.base.errors import (
    FormatError,
    MvcError,
    NegativeAnswer,
    NotAllowedError,
    NotFoundError,
    StorageError,
)

Buffer = bytes | bytearray | memoryview

_FULL = {errno.ENOSPC, errno.EDQUOT}
_DENIED = {errno.EACCES, errno.EPERM, errno.EROFS}
_NO_FSYNC = {errno.EINVAL, errno.ENOTSUP, errno.EOPNOTSUPP}
_NO_LINKS = {errno.EPERM, errno.ENOTSUP, errno.EOPNOTSUPP, errno.EXDEV, errno.EMLINK}


WRITEBACK_BYTES = 16 << 20


@dataclass(frozen=True, slots=True)
class FileStat:
    """What a regular file looked like: enough to tell cheaply that it did not change."""

    size: int
    mtime_ns: int
    ctime_ns: int
    inode: int


def _token() -> str:
    return os.urandom(8).hex()


def _remove_tree(path: Path) -> None:
    # shutil brings the compression modules along, which no command that only reads should load.
    from shutil import rmtree

    rmtree(path, ignore_errors=True)


@contextmanager
def _translated(action: str, path: Path | str) -> Iterator[None]:
    try:
        yield
    except (FileNotFoundError, NotADirectoryError) as error:
        raise NotFoundError(f"{path} does not exist") from error
    except OSError as error:
        reason = error.strerror or str(error)
        if error.errno in _FULL:
            raise StorageError(
                f"cannot {action} {path}: {reason}", hint="free some space and run it again"
            ) from error
        if error.errno in _DENIED:
            raise NotAllowedError(f"cannot {action} {path}: {reason}") from error
        raise StorageError(f"cannot {action} {path}: {reason}") from error


def _stat(raw: os.stat_result) -> FileStat:
    return FileStat(raw.st_size, raw.st_mtime_ns, raw.st_ctime_ns, raw.st_ino)


def stat_file(path: Path) -> FileStat | None:
    """Return the stat of a regular file, None where there is none; links are not followed."""
    try:
        raw = os.lstat(path)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise StorageError(f"cannot look at {path}: {error.strerror}") from error
    return _stat(raw) if stat_module.S_ISREG(raw.st_mode) else None


def is_private(path: Path) -> bool:
    """Tell whether a file can be read and written by its owner alone."""
    with _translated("look at", path):
        return not os.stat(path).st_mode & 0o077


def is_mine(path: Path) -> bool:
    """Tell whether whoever runs this owns a file or directory."""
    with _translated("look at", path):
        return os.stat(path).st_uid == os.geteuid()


def free_bytes(path: Path) -> int:
    """Return how much may still be written to the disk that a directory is on."""
    with _translated("look at", path):
        found = os.statvfs(path)
    return found.f_bavail * found.f_frsize


def is_dir(path: Path) -> bool:
    """Tell whether `path` is a directory (a link to one counts)."""
    return os.path.isdir(path)


def kind(path: Path) -> Literal["missing", "file", "directory", "other"]:
    """Tell what has this name; a link is "other", whatever it points at."""
    try:
        mode = os.lstat(path).st_mode
    except (FileNotFoundError, NotADirectoryError):
        return "missing"
    except OSError as error:
        raise StorageError(f"cannot look at {path}: {error.strerror}") from error
    if stat_module.S_ISREG(mode):
        return "file"
    return "directory" if stat_module.S_ISDIR(mode) else "other"


def lexists(path: Path) -> bool:
    """Tell whether anything at all has this name."""
    return os.path.lexists(path)


def disk_bytes(path: Path) -> int:
    """Return the sum of the sizes of all files below a directory."""
    return sum(entry.stat.size for entry in walk_files(path, ())) if is_dir(path) else 0


@dataclass(frozen=True, slots=True)
class Entry:
    """A file found by `walk_files`: its path parts below the root, and its stat."""

    parts: tuple[str, ...]
    stat: FileStat


def walk_files(
    root: Path, skip: tuple[str, ...], enter: Callable[[Path], bool] = lambda _: True
) -> Iterator[Entry]:
    """Yield all regular files below `root` in sorted order, never following links.

    Directories whose name is in `skip`, or that `enter` refuses, are not entered; one that
    vanishes meanwhile is empty.
    """
    pending: list[tuple[str, ...]] = [()]
    while pending:
        parts = pending.pop()
        below: list[tuple[str, ...]] = []
        try:
            items = _scan(root.joinpath(*parts))
        except NotFoundError:
            if not parts:
                raise
            continue
        for item in items:
            if item.is_dir(follow_symlinks=False):
                if item.name not in skip and enter(Path(item.path)):
                    below.append((*parts, item.name))
            elif item.is_file(follow_symlinks=False):
                with suppress(FileNotFoundError):
                    yield Entry((*parts, item.name), _stat(item.stat(follow_symlinks=False)))
        pending.extend(reversed(below))


def _scan(path: Path) -> list[os.DirEntry[str]]:
    with _translated("list", path), os.scandir(path) as items:
        return sorted(items, key=lambda item: item.name)


def below(root: Path, beginning: str = "") -> list[tuple[str, int]]:
    """Return the regular files below a directory, by path from there with `/`, and their sizes.

    Only what starts with `beginning` is looked at. Nothing is below what does not exist.
    """
    found: list[tuple[str, int]] = []
    pending = [""]
    top = f"{root}/"
    while pending:
        stem = pending.pop()
        with _translated("list", root):
            try:
                with os.scandir(top + stem) as items:
                    entries = list(items)
            except (FileNotFoundError, NotADirectoryError):
                # Gone meanwhile, as it may.
                continue
            for item in entries:
                if not stem and not item.name.startswith(beginning):
                    continue
                if item.is_dir(follow_symlinks=False):
                    pending.append(f"{stem}{item.name}/")
                elif item.is_file(follow_symlinks=False):
                    with suppress(FileNotFoundError):
                        found.append((stem + item.name, item.stat(follow_symlinks=False).st_size))
    return found


def children(path: Path) -> list[tuple[str, bool]]:
    """Return the names in a directory of files and of directories, and which are the latter."""
    with _translated("list", path):
        try:
            with os.scandir(path) as items:
                every = [(item, item.is_dir(follow_symlinks=False)) for item in items]
        except (FileNotFoundError, NotADirectoryError):
            return []
        return [
            (item.name, is_folder)
            for item, is_folder in every
            if is_folder or item.is_file(follow_symlinks=False)
        ]


def names(path: Path) -> list[str]:
    """Return the sorted names in a directory, an empty list where it does not exist."""
    try:
        return sorted(os.listdir(path))
    except FileNotFoundError:
        return []
    except OSError as error:
        raise StorageError(f"cannot list {path}: {error.strerror}") from error


def read_bytes(path: Path, limit: int | None = None) -> bytes:
    """Return a file's content, refusing one of more than `limit` bytes."""
    with Reader(path) as reader:
        if limit is not None and reader.size > limit:
            raise FormatError(f"{path} has {reader.size} bytes, more than the {limit} allowed")
        return reader.read_at(0, reader.size)


class Reader:
    """Positioned reads of one regular file that must not change meanwhile."""

    def __init__(self, path: Path) -> None:
        self.path = path
        with _translated("open", path):
            # A FIFO would block here for ever without O_NONBLOCK; links must not lead elsewhere.
            self._fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)
        with _translated("look at", path):
            raw = os.fstat(self._fd)
        if not stat_module.S_ISREG(raw.st_mode):
            self.close()
            raise StorageError(f"{path} is not a regular file")
        self.stat = _stat(raw)

    @property
    def size(self) -> int:
        """The size the file had when it was opened."""
        return self.stat.size

    def read_at(self, offset: int, length: int) -> bytes:
        """Return exactly `length` bytes; FormatError where the file has fewer."""
        if offset < 0 or length < 0 or offset + length > self.size:
            raise FormatError(f"{self.path} has no bytes {offset} to {offset + length}")
        with _translated("read", self.path):
            data = os.pread(self._fd, length, offset)
            if len(data) == length:
                return data
            pieces = [data]
            done = len(data)
            while done < length:
                piece = os.pread(self._fd, length - done, offset + done)
                if not piece:
                    raise StorageError(f"{self.path} became shorter while it was read")
                pieces.append(piece)
                done += len(piece)
        return b"".join(pieces)

    def changed(self) -> bool:
        """Tell whether the open file or the name's target differ from what was opened."""
        with _translated("look at", self.path):
            now = _stat(os.fstat(self._fd))
        return now != self.stat or stat_file(self.path) != self.stat

    def close(self) -> None:
        """Close the file; further reads are an error."""
        fd, self._fd = self._fd, -1
        if fd >= 0:
            with suppress(OSError):
                os.close(fd)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __del__(self) -> None:
        if getattr(self, "_fd", -1) >= 0:
            self.close()


class StagedFile:
    """A new file under a temporary name: durable and complete before it gets its real name.

    Nobody but its owner can ever read one that is `private`.
    """

    def __init__(self, folder: Path, *, private: bool = False) -> None:
        make_dirs(folder)
        self.path = folder / f"staged-{_token()}"
        with _translated("create", self.path):
            flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW
            self._fd = os.open(self.path, flags, 0o600 if private else 0o644)
        self.size = 0
        self._started = 0
        self._open = True

    def write(self, data: Buffer) -> None:
        """Append `data`."""
        view = memoryview(data).cast("B")
        self.size += len(view)
        with _translated("write", self.path):
            while view:
                view = view[os.write(self._fd, view) :]
        if self.size - self._started >= WRITEBACK_BYTES:
            self._start_writeback()

    def patch(self, at: int, data: Buffer) -> None:
        """Replace bytes that were written already."""
        view = memoryview(data).cast("B")
        if at < 0 or at + len(view) > self.size:
            raise FormatError(f"{self.path} has no bytes {at} to {at + len(view)} yet")
        with _translated("write", self.path):
            while view:
                done = os.pwrite(self._fd, view, at)
                view, at = view[done:], at + done

    def seal(self, *, durable: bool = True) -> Path:
        """Make the content durable, close the file and return its temporary path."""
        if durable:
            with _translated("flush", self.path):
                os.fsync(self._fd)
        self._close()
        return self.path

    def discard(self) -> None:
        """Remove the file whatever its state; harmless after it has been moved away."""
        with suppress(MvcError):
            self._close()
        with suppress(OSError):
            os.unlink(self.path)

    def _start_writeback(self) -> None:
        """Let the disk begin, so that the fsync at the end does not wait for all of the file."""
        if hasattr(os, "posix_fadvise"):
            # On dirty pages this advice starts their writing and drops none of them.
            with suppress(OSError):
                length = self.size - self._started
                os.posix_fadvise(self._fd, self._started, length, os.POSIX_FADV_DONTNEED)
        self._started = self.size

    def _close(self) -> None:
        if self._open:
            self._open = False
            with _translated("close", self.path):
                os.close(self._fd)


def make_dirs(path: Path) -> None:
    """Create a directory and its parents, each durable in its own parent."""
    if os.path.isdir(path):
        return
    with _translated("create", path):
        if not os.path.isdir(path.parent):
            make_dirs(path.parent)
        with suppress(FileExistsError):
            os.mkdir(path)
    sync_dir(path.parent)


def sync_dir(path: Path) -> None:
    """Make the names in a directory durable, where the file system can."""
    with _translated("flush", path):
        fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(fd)
        except OSError as error:
            if error.errno not in _NO_FSYNC:
                raise
        finally:
            os.close(fd)


def publish_new(staged: Path, target: Path) -> bool:
    """Give a sealed file its name unless the name is taken; return whether it was free."""
    make_dirs(target.parent)
    with _translated("create", target):
        try:
            os.link(staged, target)
        except FileExistsError:
            os.unlink(staged)
            return False
        except OSError as error:
            # Some file systems have no hard links; a lock above makes this check enough there.
            if error.errno not in _NO_LINKS:
                raise
            if os.path.lexists(target):
                os.unlink(staged)
                return False
            _move(staged, target)
        else:
            os.unlink(staged)
    sync_dir(target.parent)
    return True


def link(source: Path, target: Path) -> bool:
    """Give a file a second name, which is not durable; False where there are no hard links."""
    with _translated("create", target):
        try:
            os.link(source, target)
        except OSError as error:
            if error.errno not in _NO_LINKS:
                raise
            return False
    return True


def publish(staged: Path, target: Path) -> None:
    """Give a sealed file its name, replacing what had it in one step."""
    make_dirs(target.parent)
    with _translated("replace", target):
        _move(staged, target)
    sync_dir(target.parent)


def _move(staged: Path, target: Path) -> None:
    try:
        os.replace(staged, target)
    except OSError as error:
        if error.errno != errno.EXDEV:
            raise
        copy = target.parent / f".mvc-{_token()}.tmp"
        try:
            from shutil import copyfile

            copyfile(staged, copy)
            fd = os.open(copy, os.O_RDONLY | os.O_CLOEXEC)
            try:
                os.fsync(fd)
            finally:
                os.close(fd)
            os.replace(copy, target)
        except OSError:
            with suppress(OSError):
                os.unlink(copy)
            raise
        os.unlink(staged)


def write_file(target: Path, data: Buffer, staging: Path, *, private: bool = False) -> None:
    """Replace a small file durably, in one step."""
    staged = StagedFile(staging, private=private)
    try:
        staged.write(data)
        publish(staged.seal(), target)
    finally:
        staged.discard()


def remove_tree(path: Path) -> None:
    """Remove a directory with all that is in it, following no links."""
    # Even so, rmtree raises where closing a directory fails.
    with suppress(OSError):
        _remove_tree(path)


def clear(folder: Path) -> None:
    """Remove the files in a directory that may not exist."""
    for name in names(folder):
        with suppress(OSError):
            os.unlink(folder / name)


def append_line(path: Path, line: bytes) -> None:
    """Append one line to a log durably; a torn line before it is closed off first."""
    make_dirs(path.parent)
    with _translated("append to", path):
        fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o644)
        try:
            size = os.fstat(fd).st_size
            torn = size > 0 and os.pread(fd, 1, size - 1) != b"\n"
            view = memoryview((b"\n" if torn else b"") + line + b"\n")
            while view:
                view = view[os.write(fd, view) :]
            os.fsync(fd)
        finally:
            os.close(fd)


def remove(path: Path) -> None:
    """Remove a file; nothing happens where there is none."""
    try:
        os.unlink(path)
    except FileNotFoundError:
        return
    except OSError as error:
        raise StorageError(f"cannot remove {path}: {error.strerror}") from error
    sync_dir(path.parent)


def remove_all(paths: Iterable[Path]) -> None:
    """Remove files as `remove` does, and make that durable once for each directory."""
    folders: dict[Path, None] = {}
    for path in paths:
        try:
            os.unlink(path)
        except FileNotFoundError:
            continue
        except OSError as error:
            raise StorageError(f"cannot remove {path}: {error.strerror}") from error
        folders[path.parent] = None
    for folder in folders:
        sync_dir(folder)


def remove_empty_dirs(path: Path, stop: Path) -> None:
    """Remove `path` and its parents below `stop` as far as they are empty."""
    while path != stop:
        try:
            os.rmdir(path)
        except OSError:
            return
        path = path.parent


@contextmanager
def locked(path: Path, *, wait: bool = True, shared: bool = False) -> Iterator[None]:
    """Hold the kernel lock of the file `path`; the kernel drops it if this process dies.

    Several may hold it `shared`, none beside one who does not. Raises NegativeAnswer when `wait`
    is false and another process holds it.
    """
    make_dirs(path.parent)
    with _translated("lock", path):
        fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    try:
        with _translated("lock", path):
            try:
                how = fcntl.LOCK_SH if shared else fcntl.LOCK_EX
                fcntl.flock(fd, how | (0 if wait else fcntl.LOCK_NB))
            except BlockingIOError as error:
                raise NegativeAnswer(
                    "another mvc process is working here", hint="wait for it and run this again"
                ) from error
        yield
    finally:
        with suppress(OSError):
            os.close(fd)


class Workspace:
    """A scratch directory that belongs to this process while it lives.

    Each holds a kernel lock on a file inside; `reap` removes those whose owner is gone, however
    old or young they are.
    """

    def __init__(self, parent: Path) -> None:
        self.path = parent / f"tx-{_token()}"
        with locked(parent / "lock"), _translated("create", self.path):
            os.mkdir(self.path)
            self._fd = os.open(self.path / "owner", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
            fcntl.flock(self._fd, fcntl.LOCK_EX)

    def close(self) -> None:
        """Remove the directory with whatever is left in it; harmless when done already."""
        fd, self._fd = self._fd, -1
        if fd >= 0:
            remove_tree(self.path)
            with suppress(OSError):
                os.close(fd)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def reap(parent: Path) -> None:
    """Remove the workspaces of processes that died."""
    with locked(parent / "lock"):
        for name in names(parent):
            if name.startswith("tx-"):
                _reap_one(parent / name)


def _reap_one(folder: Path) -> None:
    try:
        fd = os.open(folder / "owner", os.O_RDWR | os.O_CLOEXEC)
    except FileNotFoundError:
        # Its owner died while making it (under the lock held here) or while removing it.
        remove_tree(folder)
        return
    except OSError:
        return
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        remove_tree(folder)
    except BlockingIOError:
        return
    finally:
        os.close(fd)


class Anchored:
    """Files below a root, reached component by component without ever following a link."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def open_parent(self, parts: tuple[str, ...], *, create: bool) -> int:
        """Return a descriptor of the directory that holds `parts[-1]`.

        Raises NegativeAnswer when a component is a file or a link, FormatError when it could lead
        elsewhere; names from a repository are checked long before, this is the last line.
        """
        if not parts or any(part in ("", ".", "..") or set(part) & {"/", "\0"} for part in parts):
            raise FormatError(f"not a path inside {self.root}: {'/'.join(parts)[:80]!r}")
        flags = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
        with _translated("open", self.root):
            fd = os.open(self.root, flags)
        for depth, part in enumerate(parts[:-1]):
            try:
                if create:
                    with suppress(FileExistsError):
                        os.mkdir(part, dir_fd=fd)
                below = os.open(part, flags | os.O_NOFOLLOW, dir_fd=fd)
            except OSError as error:
                shown = "/".join(parts[: depth + 1])
                if error.errno in {errno.ELOOP, errno.ENOTDIR}:
                    raise NegativeAnswer(
                        f"{shown} is in the way: it is not a directory",
                        hint="move it elsewhere and run this again",
                    ) from error
                if error.errno == errno.ENOENT:
                    raise NotFoundError(f"{shown} does not exist") from error
                raise StorageError(f"cannot enter {shown}: {error.strerror}") from error
            finally:
                os.close(fd)
            fd = below
        return fd

    def put(self, staged: Path, parts: tuple[str, ...]) -> FileStat:
        """Move a sealed file to its place, replacing a file or link there in one step."""
        fd = self.open_parent(parts, create=True)
        shown = "/".join(parts)
        try:
            with _translated("replace", shown):
                try:
                    os.replace(staged, parts[-1], dst_dir_fd=fd)
                except IsADirectoryError as error:
                    raise NegativeAnswer(
                        f"{shown} is in the way: it is a directory",
                        hint="move it elsewhere and run this again",
                    ) from error
                except OSError as error:
                    if error.errno != errno.EXDEV:
                        raise
                    _move(staged, self.root.joinpath(*parts))
                return _stat(os.stat(parts[-1], dir_fd=fd, follow_symlinks=False))
        finally:
            os.close(fd)

    def sync(self, files: Iterable[tuple[str, ...]]) -> None:
        """Make the names of files that were put durable, with those of their directories."""
        for above in {parts[:depth] for parts in files for depth in range(len(parts))}:
            sync_dir(self.root.joinpath(*above))

    def remove(self, parts: tuple[str, ...]) -> None:
        """Remove a file and the directories that this leaves empty."""
        try:
            fd = self.open_parent(parts, create=False)
        except (NotFoundError, NegativeAnswer):
            return
        try:
            with suppress(FileNotFoundError), _translated("remove", "/".join(parts)):
                try:
                    os.unlink(parts[-1], dir_fd=fd)
                except FileNotFoundError:
                    return
        finally:
            os.close(fd)
        remove_empty_dirs(self.root.joinpath(*parts[:-1]), self.root)


def now_ns() -> int:
    """Return the wall clock in nanoseconds, on the scale of file times."""
    return time.time_ns()


def pause(seconds: float) -> None:
    """Sleep."""
    time.sleep(seconds)
