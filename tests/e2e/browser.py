"""A real browser for pages: Chromium as the system has it, driven by Playwright."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

NAMES = ("chromium", "chromium-browser", "google-chrome")
ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
PHONE = {"width": 375, "height": 812}
DESK = {"width": 1100, "height": 900}


def chromium() -> str:
    """Return the program, or skip the test."""
    found = next(filter(None, map(shutil.which, NAMES)), None)
    if found is None:
        pytest.skip("no Chromium here; as root: apt-get install chromium")
    return found


@dataclass
class Opened:
    """A page as a browser has it, with what it asked for and complained of."""

    page: Any
    requests: list[str] = field(default_factory=list)
    complaints: list[str] = field(default_factory=list)

    @property
    def quiet(self) -> bool:
        """Tell whether nothing but the page itself was fetched, and nothing complained."""
        return len(self.requests) == 1 and not self.complaints

    @property
    def fits(self) -> bool:
        """Tell whether nothing makes the page scroll sideways."""
        return bool(self.page.evaluate("document.documentElement.scrollWidth <= window.innerWidth"))

    def texts(self, selector: str) -> list[str]:
        """Return the texts of all elements that a selector finds."""
        return [str(text) for text in self.page.locator(selector).all_text_contents()]


class Browser:
    """One browser that opens files."""

    def __init__(self, inner: Any) -> None:
        self._inner = inner

    @contextmanager
    def open(
        self, path: Path, *, phone: bool = False, dark: bool = False, touch: bool = False
    ) -> Iterator[Opened]:
        """Open a page from disk."""
        context = self._inner.new_context(
            viewport=PHONE if phone else DESK,
            color_scheme="dark" if dark else "light",
            has_touch=touch,
        )
        page = context.new_page()
        opened = Opened(page)
        page.on("request", lambda request: opened.requests.append(request.url))
        page.on("console", lambda message: opened.complaints.append(message.text))
        page.on("pageerror", lambda error: opened.complaints.append(str(error)))
        page.on("dialog", lambda dialog: opened.complaints.append("a dialog opened"))
        page.goto(path.as_uri())
        try:
            yield opened
        finally:
            context.close()


@contextmanager
def launched() -> Iterator[Browser]:
    """Start a browser, or skip the test."""
    program = chromium()
    playwright = pytest.importorskip("playwright.sync_api", reason="Playwright is not installed")
    with playwright.sync_playwright() as running:
        inner = running.chromium.launch(executable_path=program, headless=True, args=ARGUMENTS)
        try:
            yield Browser(inner)
        finally:
            inner.close()
