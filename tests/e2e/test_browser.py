"""The pages of `mvc diff --html` and `mvc drift --html` in a real browser, opened from disk."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import save_file

from tests.e2e.browser import Browser, launched

HOSTILE = {
    "</script><script>alert(1)</script>": "script",
    "<img src=x onerror=alert(2)>.0.weight": "image",
    '" onmouseover="alert(3)" x="': "attribute",
    "\x1b[31mred\x1b[0m.1.bias": "ansi",
    "two\nlines": "newline",
    "right\u202eto\u2066left": "bidi",
    "{{ 7 * 7 }}{% raw %}": "template",
    "__proto__.constructor": "prototype",
}
FORBIDDEN = ("\x1b", "\u202e", "\u2066")


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with launched() as found:
        yield found


class Folder:
    """A repository in which commands run as a user runs them."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self("init", "-q")

    def __call__(self, *arguments: str) -> str:
        environment = {
            **os.environ,  # noqa: TID251
            "MVC_AUTHOR_NAME": "Ada <b>Fleet</b>",
            "HOME": str(self.path),
        }
        done = subprocess.run(
            [sys.executable, "-m", "mvc", *arguments],
            cwd=self.path,
            env=environment,
            capture_output=True,
            text=True,
            encoding="utf-8",
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    def json(self, *arguments: str) -> Any:
        return json.loads(self(*arguments, "--json"))

    def save(self, tensors: dict[str, np.ndarray[Any, Any]], message: str, *options: str) -> None:
        save_file(tensors, self.path / "model.safetensors")
        self("add", ".")
        self("commit", "-q", "-m", message, *options)


def network(seed: int, step: float) -> dict[str, np.ndarray[Any, Any]]:
    """Return a small network whose later blocks change more."""
    base, noise = np.random.default_rng(0), np.random.default_rng(seed)
    found = {}
    for block in range(4):
        for kind, shape in (("query.weight", (24, 24)), ("query.bias", (24,)), ("norm", (24,))):
            values = base.standard_normal(shape)
            values += step * (1 + block) * noise.standard_normal(shape) if step else 0
            found[f"encoder.layer.{block}.{kind}"] = values.astype(np.float32)
    found["head.weight"] = base.standard_normal((3, 24)).astype(np.float32)
    return found


@pytest.fixture(scope="module")
def compared(tmp_path_factory: pytest.TempPathFactory) -> Folder:
    folder = Folder(tmp_path_factory.mktemp("compared"))
    (folder.path / "config.json").write_text('{"lr": 1e-4}\n')
    folder.save(network(1, 0), "as published", "--param", "lr=0.0001", "--metric", "accuracy=0.8")
    (folder.path / "config.json").write_text('{"lr": 5e-5}\n')
    later = {**network(2, 0.01), "head.bias": np.zeros(3, np.float32)}
    folder.save(later, "fine-tuned", "--param", "lr=0.00005", "--metric", "accuracy=0.9")
    folder("diff", "HEAD~1", "HEAD", "--html", "page.html")
    return folder


def test_a_comparison_opens_from_disk_and_asks_the_network_for_nothing(
    browser: Browser, compared: Folder
) -> None:
    with browser.open(compared.path / "page.html") as opened:
        assert opened.quiet, (opened.requests, opened.complaints)
        assert opened.page.title() == "HEAD~1 → HEAD · mvc diff"
        assert opened.page.locator("table.heat").first.is_visible()
        assert (
            opened.texts("main h3")
            == [
                "Relative change, kind of tensor × block",  # noqa: RUF001
                "How far single elements moved",
                "Changed tensors",
                "Structure",
                *opened.texts("main h3")[4:],
            ]
        )


def test_the_largest_change_of_the_page_is_that_of_the_json(
    browser: Browser, compared: Folder
) -> None:
    (model,) = [
        file
        for file in compared.json("diff", "HEAD~1", "HEAD")["files"]
        if file["path"] == "model.safetensors"
    ]
    largest = max(model["tensors"]["changed"], key=lambda item: item["relative_l2"])
    with browser.open(compared.path / "page.html") as opened:
        shown = opened.page.locator("#largest")
        assert float(shown.get_attribute("data-value")) == largest["relative_l2"]
        deepest = opened.page.locator("table.heat td.h12 a").first
        assert deepest.get_attribute("data-about").startswith(largest["name"])
        embedded = json.loads(opened.page.locator("#data").text_content())
        assert embedded == compared.json("diff", "HEAD~1", "HEAD")


def test_a_cell_tells_its_numbers_and_leads_to_the_row_of_its_tensor(
    browser: Browser, compared: Folder
) -> None:
    with browser.open(compared.path / "page.html") as opened:
        cell = opened.page.locator("table.heat td a").nth(3)
        about = cell.get_attribute("data-about")
        cell.hover()
        assert opened.page.locator(".readout").first.text_content() == about
        cell.click()
        name = about.split(" · ")[0]
        assert opened.texts("tr:target th .name") == [name]


def test_the_table_of_tensors_sorts_by_a_column_and_finds_names(
    browser: Browser, compared: Folder
) -> None:
    with browser.open(compared.path / "page.html") as opened:
        page, column = opened.page, "table.tensors tbody td:nth-of-type(3)"

        def values() -> list[float]:
            return [float(cell.get_attribute("data-v")) for cell in page.locator(column).all()]

        before = values()
        button = page.get_by_role("button", name="relative")
        button.click()
        assert values() == sorted(before, reverse=True) != before
        head = page.locator("table.tensors th[aria-sort]")
        assert head.get_attribute("aria-sort") == "descending"
        button.press("Enter")
        assert values() == sorted(before)
        page.locator("input[type=search]").fill("LAYER.3")
        shown = [row for row in page.locator("table.tensors tbody tr").all() if row.is_visible()]
        assert len(shown) == 3


def test_params_metrics_fields_and_structure_stand_side_by_side(
    browser: Browser, compared: Folder
) -> None:
    with browser.open(compared.path / "page.html") as opened:
        facts = opened.texts("table.facts tbody tr")
        assert any("accuracy" in row and "0.8" in row and "0.9" in row for row in facts)
        assert any("lr" in row and "0.0001" in row and "5e-05" in row for row in facts)
        assert any("head.bias" in row for row in opened.texts("table.pairs tbody tr"))


@pytest.mark.parametrize("dark", [False, True])
def test_a_page_fits_a_phone(browser: Browser, compared: Folder, *, dark: bool) -> None:
    with browser.open(compared.path / "page.html", phone=True, dark=dark, touch=True) as opened:
        assert opened.fits
        cell = opened.page.locator("table.heat td a").first
        cell.tap()
        assert opened.page.locator(".readout").first.text_content() == cell.get_attribute(
            "data-about"
        )
        assert "#" not in opened.page.url, "a first tap only tells"


def test_a_page_without_its_script_still_has_every_number(
    browser: Browser, compared: Folder, tmp_path: Path
) -> None:
    text = (compared.path / "page.html").read_text("utf-8")
    changed = tmp_path / "changed.html"
    changed.write_text(text.replace('"use strict";', '"use strict";alert(4);'), "utf-8")
    with browser.open(changed) as opened:
        assert any("Content Security Policy" in text for text in opened.complaints)
        assert "a dialog opened" not in opened.complaints
        assert len(opened.texts("table.tensors tbody tr")) == 12


@pytest.fixture(scope="module")
def hostile(tmp_path_factory: pytest.TempPathFactory) -> Folder:
    folder = Folder(tmp_path_factory.mktemp("hostile"))
    for step, message in enumerate(["one", "<script>alert(5)</script>\x1b[2J"]):
        values = {name: np.full((2, 3), 1.0 + step, np.float32) for name in HOSTILE}
        kept = {"</title><h1 id=gone>": np.ones(2, np.float32)} if step else {}
        folder.save({**values, **kept}, message, "--param", f"<b>p</b>=<i>{step}</i>")
        folder("branch", f"devices/{step}")
    folder("diff", "HEAD~1", "HEAD", "--html", "diff.html")
    folder("drift", "devices/*", "--html", "drift.html")
    return folder


@pytest.mark.parametrize("page", ["diff.html", "drift.html"])
def test_hostile_names_are_nothing_but_text(browser: Browser, hostile: Folder, page: str) -> None:
    with browser.open(hostile.path / page) as opened:
        for element in opened.page.locator("table.heat td, table.heat a").all()[:40]:
            element.dispatch_event("mouseover")
        assert opened.quiet, (opened.requests, opened.complaints)
        assert opened.page.locator("script").count() == 2
        assert opened.page.locator("main img, main script, #gone, main b, main i.x").count() == 0
        text = opened.page.locator("body").inner_text()
        assert not any(mark in text for mark in FORBIDDEN)
        names = " ".join(opened.texts("table.heat th") + opened.texts("table.heat caption"))
        for part in ("<script>alert(1)<", "<img src=x", "\\x1b[31mred", "\\u202e"):
            assert part in names + text, part
        assert opened.fits


@pytest.fixture(scope="module")
def fleet(tmp_path_factory: pytest.TempPathFactory) -> Folder:
    folder = Folder(tmp_path_factory.mktemp("fleet"))
    folder.save(network(0, 0), "release")
    folder("tag", "v1.0")
    for device in range(6):
        folder("switch", "-q", "-c", f"devices/car-{device}", "v1.0")
        folder.save(network(10 + device, 0.3 if device == 4 else 0.01), f"car {device}")
    folder("drift", "devices/*", "--html", "page.html")
    return folder


def test_the_drift_of_a_fleet_is_a_map_of_layers_and_devices(
    browser: Browser, fleet: Folder
) -> None:
    found = fleet.json("drift", "devices/*")
    with browser.open(fleet.path / "page.html") as opened:
        assert opened.quiet, (opened.requests, opened.complaints)
        heads = opened.texts("table.drift thead th .vh")[1:]
        assert heads == [version["name"] for version in found["versions"]]
        assert heads[0] == "devices/car-4"
        assert "devices/car-4 stands out" in opened.page.locator(".outliers").inner_text()
        rows = opened.page.locator("table.drift tbody tr").count()
        assert rows == 1 + len(found["layers"])


def test_another_distance_and_another_order_are_drawn_at_once(
    browser: Browser, fleet: Folder
) -> None:
    found = fleet.json("drift", "devices/*")
    with browser.open(fleet.path / "page.html") as opened:
        page = opened.page
        page.locator("#metric").select_option("changed")
        shares = [float(text) for text in opened.texts("table.drift tr.total td")]
        assert len(shares) == 6
        assert max(shares) <= 1
        page.locator("#order").select_option("name")
        heads = opened.texts("table.drift thead th .vh")[1:]
        assert heads == sorted(version["name"] for version in found["versions"])
        page.locator("#layers").select_option("far")
        first = page.locator("table.drift tbody tr").nth(1).locator("th").text_content()
        assert first in {layer["name"] for layer in found["layers"]}
        assert opened.quiet, opened.complaints


def test_arrow_keys_lead_through_the_map(browser: Browser, fleet: Folder) -> None:
    with browser.open(fleet.path / "page.html") as opened:
        page = opened.page
        page.locator("table.drift td").first.focus()
        page.keyboard.press("ArrowDown")
        page.keyboard.press("ArrowRight")
        told = page.locator(".readout").text_content()
        second = opened.texts("table.drift thead th .vh")[2]
        assert told.startswith(f"{second} · ")
        assert "encoder.layer.0" in told


def test_the_map_of_a_fleet_fits_a_phone(browser: Browser, fleet: Folder) -> None:
    with browser.open(fleet.path / "page.html", phone=True) as opened:
        assert opened.fits
        assert opened.quiet
