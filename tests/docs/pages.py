"""Run the examples of a page of documentation and compare what they print with what it shows.

The convention, for whoever writes a page:

- A page is one session. It runs in a new, empty folder, in one shell, from top to bottom. The user
  is Ada Fleet.
- A ```console block has commands after `$ ` (continued after `> `), each followed by its output,
  stdout and stderr as a terminal shows them. A line `...` stands for any lines, also for none.
- A command that fails shows an `error:` or is followed by `$ echo $?`.
- A ```python block whose first line is a comment with a file name is saved under that name; any
  other is run, and a ```text block right below it shows what it prints.
- Commands of mvc stand in console blocks alone. A block that cannot run here has `no-test` in its
  fence and the reason in the line above it.

Ids may differ from run to run, though equal ones must stay equal; times may be any time; sizes
and counts of objects may be a quarter off; the folder is written as `…`.

`python -m tests.docs.pages docs/tutorial.md` writes the output into a page anew.
"""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

FENCE = re.compile(r"^```(\S*)(.*)$")
FILE_NAME = re.compile(r"# ([\w./-]+\.\w+)")
MARK = "\x1eend of example"
LIMIT = 120
USER = '[user]\nname = "Ada Fleet"\nemail = "ada@example.org"\n'

VARIABLE = re.compile(
    r"(?P<time>\d{4}-\d\d-\d\d[ T]\d\d:\d\d:\d\d(?:\.\d+)?(?: [+-]\d{4}|Z)?)"
    r"|(?P<date>\b\d{4}-\d\d-\d\d\b)"
    r"|(?P<id>\b(?=[0-9a-f]*[0-9])[0-9a-f]{10,64}\b)"
    r"|(?P<size>\b\d[\d.,]* (?:B|kB|MB|GB|objects)\b)"
)
UNITS = {"B": 1.0, "kB": 1e3, "MB": 1e6, "GB": 1e9, "objects": 1.0}


@dataclass
class Example:
    """A command, or the text of a Python block, with what the page shows after it."""

    line: int
    command: str
    shown: list[str] = field(default_factory=list)
    last: int = 0


@dataclass(frozen=True)
class Block:
    """A fenced block: the number of its first line, its language, the rest of its fence.

    `above` is the last line above it that has text, `adjacent` if that belongs to another block.
    """

    line: int
    language: str
    info: str
    text: list[str]
    above: str
    adjacent: bool


@dataclass(frozen=True)
class Result:
    """What an example printed and the status it ended with."""

    printed: list[str]
    status: int


def blocks(page: Path) -> Iterator[Block]:
    """Yield the fenced blocks of a page."""
    lines = page.read_text("utf-8").splitlines()
    number = 0
    while number < len(lines):
        opening = FENCE.match(lines[number])
        number += 1
        if not opening:
            continue
        start = number
        while number < len(lines) and lines[number] != "```":
            number += 1
        if number == len(lines):
            raise ValueError(f"{page}:{start}: the block has no end")
        above = next((line for line in reversed(lines[: start - 1]) if line), "")
        text = lines[start:number]
        yield Block(start + 1, opening[1], opening[2].strip(), text, above, above == "```")
        number += 1


def examples(page: Path) -> list[Example]:
    """Return everything on a page that is to be run, in order."""
    found: list[Example] = []
    printer = None
    for block in blocks(page):
        if "no-test" in block.info:
            continue
        if block.language == "console":
            found.extend(_commands(block))
        elif block.language == "python":
            found.append(Example(block.line, _python(block.text)))
            printer = None if FILE_NAME.fullmatch(block.text[0]) else found[-1]
            continue
        elif block.language == "text" and block.adjacent and printer:
            printer.shown, printer.last = block.text, block.line - 1
        printer = None
    return found


def run(page: list[Example], folder: Path) -> list[Result]:
    """Run the examples in a new folder inside `folder` and return what each of them printed."""
    programs, page_folder, home = folder / "programs", folder / "page", folder / "home"
    for made in (programs, page_folder, home / ".config" / "mvc"):
        made.mkdir(parents=True)
    (home / ".config" / "mvc" / "config.toml").write_text(USER)
    for name, start in (("python", ""), ("mvc", " -m mvc")):
        program = programs / name
        program.write_text(f'#!/bin/sh\nexec {shlex.quote(sys.executable)}{start} "$@"\n')
        program.chmod(0o755)
    script = ["exec 2>&1 </dev/null"]
    for example in page:
        script += [example.command, f"(s=$?; echo '{MARK}' $s; exit $s)"]
    path = folder / "script"
    path.write_text("\n".join(script) + "\n", "utf-8")
    inherited = {
        key: value
        for key, value in os.environ.items()  # noqa: TID251
        if not key.startswith(("MVC_", "XDG_"))
    }
    changed = {
        "PATH": f"{programs}:{inherited['PATH']}",
        "PYTHONPATH": str(Path(__file__).parents[2]),
        "PYTHONWARNINGS": "error",
        "HOME": str(home),
        "XDG_CONFIG_HOME": str(home / ".config"),
        "TERM": "dumb",
        "TZ": "UTC",
        "LC_ALL": "C.UTF-8",
    }
    done = subprocess.run(
        ["bash", str(path)],
        cwd=page_folder,
        env=inherited | changed,
        stdout=subprocess.PIPE,
        timeout=LIMIT,
        check=False,
    )
    text = done.stdout.decode("utf-8").replace(str(page_folder.resolve()), "…")
    results = []
    *parts, rest = re.split(rf"(?m){MARK} (\d+)\n", text)
    for printed, status in zip(parts[::2], parts[1::2], strict=True):
        results.append(Result([line.rstrip() for line in printed.splitlines()], int(status)))
    if len(results) != len(page):
        raise AssertionError(f"the shell ended after {len(results)} examples: {rest}")
    return results


class Comparison:
    """Compares shown with printed lines, keeping in mind which id stands for which."""

    def __init__(self) -> None:
        self._ids: dict[str, str] = {}

    def differs(self, shown: list[str], printed: list[str]) -> str | None:
        """Return None if they agree, else the first line that does not."""
        position = 0
        gap = False
        for line in shown:
            if line == "...":
                gap = True
                continue
            while gap and position < len(printed) and not self._equal(line, printed[position]):
                position += 1
            if position >= len(printed):
                return f"shown but not printed: {line!r}"
            if not self._equal(line, printed[position]):
                return f"shown {line!r}, printed {printed[position]!r}"
            position += 1
            gap = False
        if position < len(printed) and not gap:
            return f"printed but not shown: {printed[position]!r}"
        return None

    def _equal(self, shown: str, printed: str) -> bool:
        # Columns are as wide as the sizes in them.
        if VARIABLE.sub("<>", shown).split() != VARIABLE.sub("<>", printed).split():
            return False
        pairs = zip(VARIABLE.finditer(shown), VARIABLE.finditer(printed), strict=True)
        ids: dict[str, str] = {}
        for one, other in pairs:
            if one.lastgroup != other.lastgroup:
                return False
            if one["id"] and not self._same_id(one["id"], other["id"], ids):
                return False
            if one["size"] and not _near(one["size"], other["size"]):
                return False
        self._ids |= ids
        return True

    def _same_id(self, shown: str, printed: str, new: dict[str, str]) -> bool:
        if len(shown) != len(printed):
            return False
        known = (self._ids | new).get(shown[:10], printed[:10])
        new[shown[:10]] = printed[:10]
        return known == printed[:10]


def write(page: Path) -> None:
    """Replace the output on a page by what its examples print now."""
    lines = page.read_text("utf-8").splitlines()
    found = examples(page)
    with tempfile.TemporaryDirectory() as folder:
        results = run(found, Path(folder))
    for example, result in reversed(list(zip(found, results, strict=True))):
        if "..." not in example.shown and example.last:
            lines[example.last : example.last + len(example.shown)] = result.printed
    page.write_text("\n".join(lines) + "\n", "utf-8")


def _commands(block: Block) -> Iterator[Example]:
    example = None
    for number, line in enumerate(block.text, block.line):
        if line.startswith("$ "):
            if example:
                yield example
            example = Example(number, line[2:], last=number)
        elif example is None:
            raise ValueError(f"line {number}: a console block begins with a command")
        elif line.startswith("> ") and not example.shown:
            example.command += "\n" + line[2:]
            example.last = number
        else:
            example.shown.append(line)
    if example:
        yield example


def _python(text: list[str]) -> str:
    name = FILE_NAME.fullmatch(text[0])
    start = f"cat > {name[1]}" if name else "python -"
    return "\n".join([f"{start} <<'END OF BLOCK'", *text, "END OF BLOCK"])


def _near(shown: str, printed: str) -> bool:
    one, other = (
        float(number.replace(",", "")) * UNITS[unit]
        for number, unit in (shown.split(), printed.split())
    )
    return abs(one - other) <= 0.25 * max(one, other)


if __name__ == "__main__":
    for name in sys.argv[1:]:
        write(Path(name))
