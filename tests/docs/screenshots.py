"""Take the pictures of pages that the documentation shows.

`python -m tests.docs.screenshots PAGE.html OUT.png [--phone] [--dark] [--top N] [--height N]`
"""

from __future__ import annotations

import argparse
from pathlib import Path

from tests.e2e.browser import launched


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("page", type=Path)
    parser.add_argument("picture", type=Path)
    parser.add_argument("--phone", action="store_true")
    parser.add_argument("--dark", action="store_true")
    parser.add_argument("--top", type=int, default=0)
    parser.add_argument("--height", type=int, default=900)
    given = parser.parse_args()
    with (
        launched() as browser,
        browser.open(given.page.resolve(), phone=given.phone, dark=given.dark) as opened,
    ):
        width = opened.page.viewport_size["width"]
        clip = {"x": 0, "y": given.top, "width": width, "height": given.height}
        opened.page.screenshot(path=str(given.picture), full_page=True, clip=clip)


if __name__ == "__main__":
    main()
