"""Names that a model, a commit or a configuration made up are shown, and obeyed by nobody."""

from __future__ import annotations

import html.parser
import json
import re
from collections.abc import Sequence

import numpy as np
import pytest

import mvc as api
from tests.cli.console import Console

EVIL = "a\x1b[2J\x07\n<script>alert(1)</script>\u202e\u2028\"'&{{7*7}}`$(x)\x9b31m"
LINE = EVIL.replace("\n", "")
UNSAFE = re.compile("[\x00-\x09\x0b-\x1f\x7f-\x9f\u200b-\u200f\u2028-\u202e\u2066-\u2069\ufeff]")


def tensors(change: float) -> dict[str, np.ndarray]:
    values = np.linspace(-1, 1, 1200, dtype=np.float32).reshape(30, 40)
    return {f"{EVIL}.{layer}.weight": values + np.float32(change * layer) for layer in range(3)}


@pytest.fixture
def fleet(mvc: Console) -> Console:
    """Main, two branches of devices, all of it with names that nobody should obey."""
    mvc("init")
    with api.Repository.open(mvc.folder, author="Eve \u202e<b>{{7*7}}") as repo:
        repo.commit(tensors(0), LINE, params={EVIL: EVIL}, labels={EVIL: EVIL})
    mvc("restore", "model.safetensors")
    for place, branch in enumerate(("devices/a", "devices/b")):
        mvc("switch", "-c", branch, "main")
        with api.Repository.open(mvc.folder, author="Eve") as repo:
            repo.commit(tensors(place + 1), LINE)
        mvc("restore", "model.safetensors")
    mvc("switch", "main")
    return mvc


REPORTS: Sequence[tuple[int, tuple[str, ...]]] = (
    (0, ("log",)),
    (0, ("log", "--graph", "--all", "--stat")),
    (0, ("log", "-p", "devices/a")),
    (0, ("log", "devices/a", "--", f"model.safetensors:{EVIL}*")),
    (0, ("show", "devices/a")),
    (0, ("show", "devices/a:model.safetensors")),
    (0, ("diff", "main", "devices/a")),
    (0, ("diff", "main", "devices/a", "--stat")),
    (0, ("diff", "main", "devices/a", "--words", "3")),
    (0, ("diff", "devices/b", "main", "--rank", "--top", "2")),
    (3, ("diff", "main", "devices/a", "--tensor", f"{EVIL}nowhere")),
    (0, ("blame", "devices/a", "model.safetensors")),
    (0, ("blame", "devices/a", "model.safetensors", "--layers")),
    (0, ("drift", "devices/*")),
    (0, ("tree", "--all")),
    (0, ("stats", "main")),
    (0, ("status",)),
    (0, ("branch", "-v")),
    (0, ("merge", "--dry-run", "--strategy", "average", "devices/*")),
)


@pytest.mark.parametrize(("code", "arguments"), REPORTS, ids=lambda item: str(item)[:60])
def test_a_report_shows_names_that_no_terminal_obeys(
    fleet: Console, code: int, arguments: tuple[str, ...]
) -> None:
    done = fleet.any(*arguments)
    assert done.code == code, done.err
    assert not UNSAFE.search(done.out), done.out
    assert not UNSAFE.search(done.err), done.err
    # A name with a line break makes no line of its own.
    assert not any(line.lstrip().startswith("<script") for line in done.lines)


@pytest.mark.parametrize(
    "arguments",
    [
        ("diff", "main", "devices/a"),
        ("blame", "devices/a", "model.safetensors"),
        ("drift", "devices/*"),
        ("tree",),
        ("log", "--all"),
    ],
    ids=lambda item: item[0],
)
def test_json_has_the_names_themselves_and_no_terminal_obeys_it(
    fleet: Console, arguments: tuple[str, ...]
) -> None:
    done = fleet(*arguments, "--json")
    assert not UNSAFE.search(done.out)
    texts = json.dumps(done.json, ensure_ascii=False)
    name = LINE if arguments[0] in ("tree", "log") else EVIL
    assert json.dumps(name, ensure_ascii=False)[1:-1] in texts


def test_conflicts_name_tensors_that_no_terminal_obeys(fleet: Console) -> None:
    fleet("merge", "devices/a")
    done = fleet("merge", "devices/b", code=1)
    assert "script" in done.out + done.err
    for text in (done.out, done.err, fleet("status").out):
        assert not UNSAFE.search(text), text
    done = fleet("merge", "--continue", "--take", f"{EVIL}", code=2)
    assert not UNSAFE.search(done.err)


class Scripts(html.parser.HTMLParser):
    """What a browser would run, and the data it would not."""

    def __init__(self) -> None:
        super().__init__()
        self.run: list[str] = []
        self.handlers: list[str] = []
        self._script = False

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handlers += [name for name, _ in attrs if name.startswith("on")]
        self._script = tag == "script" and dict(attrs).get("type") != "application/json"

    def handle_endtag(self, tag: str) -> None:
        self._script = False

    def handle_data(self, data: str) -> None:
        if self._script:
            self.run.append(data)


@pytest.mark.parametrize("arguments", [("diff", "main", "devices/a"), ("drift", "devices/*")])
def test_a_page_runs_nothing_that_a_name_says(fleet: Console, arguments: tuple[str, ...]) -> None:
    fleet(*arguments, "--html", "page.html")
    text = (fleet.folder / "page.html").read_text("utf-8")
    scripts = Scripts()
    scripts.feed(text)
    assert "alert(1)" in text
    assert not any("alert(1)" in script for script in scripts.run)
    assert not scripts.handlers
    assert not UNSAFE.search(text.replace("\n", ""))
    assert "49" not in re.findall(r"\{\{.{0,9}", text)
