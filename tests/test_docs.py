"""The documentation is true: its examples print what it shows and its links lead somewhere."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from mvc.cli.group import COMMANDS
from tests.docs import pages

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
README = ROOT / "README.md"
# These are generated, or tested against the code by tests of their own.
ELSEWHERE = {"cli.md", "format.md", "protocol.md", "benchmarks.md"}
PAGES = [README, *(page for page in sorted(DOCS.glob("*.md")) if page.name not in ELSEWHERE)]
EXECUTED = [page for page in PAGES if page.exists() and pages.examples(page)]
PROSE = [*sorted(ROOT.glob("*.md")), *sorted(DOCS.rglob("*.md"))]

LINK = re.compile(r"(?<!!)\[[^\]]*\]\(([^)\s]+)\)")
HEADING = re.compile(r"^#+ (.*)$", re.M)
CODE = re.compile(r"^```.*?^```$|`[^`\n]*`", re.M | re.S)


def name(path: Path) -> str:
    return str(path.relative_to(ROOT))


def anchors(page: Path) -> set[str]:
    text = re.sub(r"^```.*?^```$", "", page.read_text("utf-8"), flags=re.M | re.S)
    return {
        re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")
        for heading in HEADING.findall(text)
    }


@pytest.mark.parametrize("page", EXECUTED, ids=name)
def test_every_example_of_a_page_prints_what_the_page_shows(page: Path, tmp_path: Path) -> None:
    examples = pages.examples(page)
    comparison = pages.Comparison()
    problems = []
    results = pages.run(examples, tmp_path)
    following = [*(example.command for example in examples[1:]), ""]
    for example, result, after in zip(examples, results, following, strict=True):
        where = f"{name(page)}:{example.line}: {example.command.splitlines()[0]}"
        if example.last:
            difference = comparison.differs(example.shown, result.printed)
            if difference:
                problems.append(f"{where}\n    {difference}")
        expected = after == "echo $?" or any(line.startswith("error:") for line in example.shown)
        if result.status and not expected:
            problems.append(f"{where}\n    ended with {result.status}: {result.printed[-3:]}")
    if problems:
        problems.append(f"`python -m tests.docs.pages {name(page)}` writes what is printed now")
    assert not problems, "\n".join(problems)


@pytest.mark.parametrize("page", [page for page in PAGES if page.exists()], ids=name)
def test_examples_of_commands_stand_in_blocks_that_are_run(page: Path) -> None:
    indented = re.search(r"^ +```", page.read_text("utf-8"), re.M)
    assert indented is None, f"{name(page)}: only blocks that begin a line are run"
    for block in pages.blocks(page):
        where = f"{name(page)}:{block.line}"
        commands = [line for line in block.text if re.match(r"(\$ )?mvc ", line)]
        assert not commands or block.language == "console", f"{where}: make it console"
        if "no-test" in block.info:
            assert len(block.above.split()) > 4, f"{where}: say above the block why it is not run"
        else:
            assert not block.info, f"{where}: {block.info!r} is not known"


@pytest.mark.parametrize("page", PROSE, ids=name)
def test_links_lead_to_files_and_headings_that_exist(page: Path) -> None:
    for target in LINK.findall(CODE.sub("", page.read_text("utf-8"))):
        if re.match(r"[a-z]+:", target):
            continue
        path, _, anchor = target.partition("#")
        file = (page.parent / path).resolve() if path else page
        assert file.is_relative_to(ROOT), f"{target} leads out of the repository"
        assert file.exists(), f"{target} is not there"
        assert not anchor or anchor in anchors(file), f"{target}: there is no such heading"


def test_the_index_names_every_page() -> None:
    linked = set(LINK.findall((DOCS / "README.md").read_text("utf-8")))
    assert {page.name for page in DOCS.glob("*.md")} - linked == {"README.md"}


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_is_in_the_pages_for_users(command: str) -> None:
    texts = [(DOCS / page).read_text("utf-8") for page in ("tutorial.md", "git-users.md")]
    assert any(re.search(rf"\bmvc {command}\b", text) for text in texts)


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_is_in_the_reference(command: str) -> None:
    assert f"mvc {command}" in (DOCS / "cli.md").read_text("utf-8")


@pytest.mark.parametrize("page", PROSE, ids=name)
def test_no_page_shows_a_path_of_somebodys_machine(page: Path) -> None:
    found = re.search(r"(?<![\w./])/(?:home|root|tmp|work|Users|mnt)/\S*", page.read_text("utf-8"))
    assert found is None, found


def test_the_example_of_the_python_interface_runs(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-W", "error", ROOT / "examples" / "python_api.py"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT)},  # noqa: TID251
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "head.weight moved by" in done.stdout


def test_the_example_of_a_federated_round_runs(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-W", "error", "-m", "examples.federated"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT), "TZ": "UTC"},  # noqa: TID251
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    rounds = [line for line in done.stdout.splitlines() if line.startswith("round ")]
    errors = [float(line.split()[4]) for line in rounds]
    assert len(errors) == 3
    assert errors == sorted(errors, reverse=True)
    assert "merge.weights=0,30,70,110" in done.stdout


def test_an_example_that_prints_something_else_is_noticed(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("```console\n$ echo one\ntwo\n```\n")
    examples = pages.examples(page)
    folder = tmp_path / "run"
    folder.mkdir()
    (result,) = pages.run(examples, folder)
    assert pages.Comparison().differs(examples[0].shown, result.printed)
    pages.write(page)
    assert page.read_text() == "```console\n$ echo one\none\n```\n"


@pytest.mark.parametrize(
    ("shown", "printed", "agree"),
    [
        ("commit 0123456789 One", "commit 9876543210 One", True),
        ("commit 0123456789 One", "commit 98765432101 One", False),
        ("0123456789 0123456789", "9876543210 9876543210", True),
        ("0123456789 0123456789", "9876543210 1111111111", False),
        ("took 980 kB in all", "took 1.02 MB in all", True),
        ("took 0 B in all", "took 12 B in all", False),
        ("took 980 kB", "took 98 kB", False),
        ("Date: 2025-01-01 10:00:00 +0000", "Date: 2026-12-12 01:01:01 +0200", True),
        ("made 2025-01-01 by one", "made 2026-12-12 by one", True),
        ("made 2025-01-01", "made today", False),
        ("a\n...\nb", "a\n1\n2\nb", True),
        ("a\n...\nb", "a\n1\n2\nc", False),
        ("a", "a\nb", False),
    ],
)
def test_what_may_differ_between_two_runs(shown: str, printed: str, agree: bool) -> None:
    difference = pages.Comparison().differs(shown.splitlines(), printed.splitlines())
    assert (difference is None) is agree, difference
