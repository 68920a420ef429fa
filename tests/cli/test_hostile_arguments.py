from __future__ import annotations

import tempfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mvc.cli.table import COMMANDS
from tests.cli.console import Console

ODD = ["", "-", "--", "..", "/", "~", "^", "@", ":", "@{0}", "HEAD", "main", "a.txt", "HEAD:", "*"]
ODD += ["\x1b[2J", "\udcff", "x" * 5000, "HEAD~999999", "a..b", "HEAD:../..", "main@{9}"]
ODD += ["0" * 64, "abcd", "é", "nul", "..main", "main...", "1e999"]
ODD += ["--json", "-v", "-d", "-m", "-n"]
ODD += ["refs/heads/main", "refs/../HEAD", "[", "a.txt:[", "user.name", "k=v", "💥", "--debug=x"]
# What these write may lie anywhere, `mvc init /` too; a server does not end by itself.
ELSEWHERE = {"init", "export", "serve"}
# No process can be given a NUL.
TEXT = st.text(st.characters(exclude_characters="\0"), max_size=8)
WORDS = st.one_of(st.sampled_from(ODD), TEXT, st.text(st.sampled_from("~^@{}:./1-"), max_size=8))


@given(st.sampled_from(sorted(COMMANDS.keys() - ELSEWHERE)), st.lists(WORDS, max_size=4))
def test_no_argument_makes_mvc_fail_in_a_way_it_does_not_explain(
    mvc: Console, verb: str, words: list[str]
) -> None:
    with tempfile.TemporaryDirectory() as name, pytest.MonkeyPatch.context() as patch:
        patch.chdir(name)
        console = Console.__new__(Console)
        console.folder = Path(name)
        console.any("init")
        console.write("a.txt", "a")
        console.any("add", "a.txt")
        console.any("commit", "-m", "a")
        done = console.any(verb, *words)
        assert "internal error" not in done.err, done
        assert "Traceback" not in done.err, done
        assert done.code in (*range(7), 128)
        # A negative answer is data.
        assert done.code == 0 or done.err or (done.code == 1 and done.out)
        assert "\x1b" not in done.err
