from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from tests.codec import hostile

ROOT = Path(__file__).parents[2]


def test_hostile_sections_are_refused_in_bounded_memory_and_time() -> None:
    done = subprocess.run(
        [sys.executable, "-W", "error", "-m", "tests.codec.hostile"],
        capture_output=True,
        text=True,
        check=False,
        cwd=ROOT,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    lines = [line.split(" ", 2) for line in done.stdout.splitlines()]
    assert len(lines) > 400
    assert {said for said, _, _ in lines} <= {"refused", "read"}
    assert [name for _, seconds, name in lines if float(seconds) > 20] == []
    read = {name.split(": ", 1)[1] for said, _, name in lines if said == "read"}
    # Harmless however they look: they hold what they claim.
    assert {name for name in read if "mode" not in name and " products, " not in name} <= {
        "pco: a million chunks of one number",
        "planes of pco: a million chunks of one number",
        "gaps: a million chunks of one number",
        "levels of 16 columns",
        "levels of 1048576 columns",
        "a base of one word",
    }
    assert sum(name.startswith("merged: ") for name in (line[2][3:] for line in lines)) > 150
    # The interpreter and its libraries take some of it.
    assert int(done.stderr.split()[-1]) < hostile.LIMIT // 2
