"""Rules of the house that no linter knows."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parent.parent / "mvc"
MODULES = sorted(PACKAGE.rglob("*.py"))
# The one owner of files, and the edge where streams of the terminal are handled.
OWNERS = ("base/fileio.py", "cli/main.py", "cli/pager.py")
FILE_CALLS = {
    "open",
    "replace",
    "rename",
    "unlink",
    "remove",
    "mkdir",
    "makedirs",
    "rmdir",
    "fsync",
}
PATH_CALLS = {"write_bytes", "write_text", "touch", "symlink_to", "hardlink_to", "is_symlink"}


def violations(source: str) -> Iterator[str]:
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.ImportFrom) and node.module == "shutil":
            yield f"line {node.lineno}: shutil"
        elif isinstance(node, ast.Call):
            match node.func:
                case ast.Attribute(ast.Name("os"), name) if name in FILE_CALLS:
                    yield f"line {node.lineno}: os.{name}"
                case ast.Attribute(ast.Name("shutil"), name) if name != "get_terminal_size":
                    yield f"line {node.lineno}: shutil.{name}"
                case ast.Attribute(_, name) if name in PATH_CALLS:
                    yield f"line {node.lineno}: .{name}"
                case ast.Name("open"):
                    yield f"line {node.lineno}: open"


@pytest.mark.parametrize("path", MODULES, ids=lambda path: path.relative_to(PACKAGE).as_posix())
def test_only_one_module_touches_the_file_system(path: Path) -> None:
    if path.relative_to(PACKAGE).as_posix() not in OWNERS:
        assert list(violations(path.read_text(encoding="utf-8"))) == []


@pytest.mark.parametrize(
    "source",
    [
        "shutil.rmtree(a)",
        "from shutil import rmtree",
        "os.replace(a, b)",
        "p.write_bytes(b'')",
        "open(p)",
    ],
)
def test_the_rule_would_notice(source: str) -> None:
    assert list(violations(source))


def test_no_module_has_a_name_that_says_nothing() -> None:
    empty = {"utils", "util", "helpers", "common", "misc", "manager"}
    assert not empty & {part for path in MODULES for part in (*path.parts, path.stem)}
