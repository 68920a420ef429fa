"""Runs one mvc command when it is told to, everything being imported before: to be killed in it."""

from __future__ import annotations

import sys

import numpy as np  # noqa: F401

import mvc.cli.commands.commit
import mvc.cli.commands.switch
import mvc.ops.checkout
import mvc.ops.commit
import mvc.repo.restore  # noqa: F401
from mvc.cli.main import run

if __name__ == "__main__":
    print("ready", flush=True)
    sys.stdin.readline()
    sys.exit(run(sys.argv[1:]))
