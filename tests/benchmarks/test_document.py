from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks import document
from benchmarks.document import SECTIONS, Unmarked, command, marks, replaced


def page(name: str, text: str) -> str:
    start, end = marks(name)
    return f"before\n\n{start}\n{text}\n{end}\n\nafter\n"


def test_a_section_is_replaced_and_all_else_left() -> None:
    text = replaced(page("speed", "old"), "speed", "new\n")
    assert text == page("speed", "\nnew\n")
    assert replaced(text, "speed", "new") == text


def test_a_page_without_the_place_is_refused() -> None:
    with pytest.raises(Unmarked, match="measured: speed"):
        replaced(page("storage", "old"), "speed", "new")


@pytest.mark.parametrize("name", SECTIONS)
def test_every_section_has_its_place_in_the_page(name: str) -> None:
    start, end = marks(name)
    text = document.PAGE.read_text("utf-8")
    assert 0 <= text.find(start) < text.find(end)


def test_a_command_names_the_folders() -> None:
    families, models = [Path("a"), Path("b")], Path("m")
    told = command(SECTIONS["finetune"], families, models, Path("scratch"))
    assert "a/full-fp32/step0000.safetensors" in told
    assert told[-2:] == ["--folder", "scratch"]
    assert command(SECTIONS["storage"], families, models, None)[-5:] == [
        "--families", "a", "b", "--models", "m"
    ]  # fmt: skip
