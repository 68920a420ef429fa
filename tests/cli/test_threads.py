from __future__ import annotations

import subprocess
import sys

PROGRAM = """
import sys
from mvc.cli.main import run
assert "numpy" not in sys.modules
run(["--help"])
import os
print(os.environ["OPENBLAS_NUM_THREADS"], file=sys.stderr)
"""


def said(environment: dict[str, str]) -> str:
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM],
        capture_output=True,
        text=True,
        check=True,
        env=environment,
    )
    return done.stderr.split()[-1]


def test_a_command_keeps_blas_to_one_thread_before_numpy_is_there() -> None:
    assert said({}) == "1"


def test_a_number_of_threads_that_somebody_chose_stays() -> None:
    assert said({"OPENBLAS_NUM_THREADS": "3"}) == "3"
