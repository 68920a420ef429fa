"""Runs one command that talks to another repository when it is told to: to be killed in it.

Usage: sync_victim.py PART_BYTES WORD... Everything is imported before.
"""

from __future__ import annotations

import sys

import numpy as np  # noqa: F401
import urllib3  # noqa: F401

import mvc.cli.commands.clone
import mvc.cli.commands.push
import mvc.ops.checkout
import mvc.ops.clone
import mvc.ops.push
import mvc.sync.http_link
import mvc.sync.local
import mvc.sync.stdio  # noqa: F401
from mvc.cli.main import run
from tests.e2e.sync_scenes import small_parts

if __name__ == "__main__":
    small_parts(int(sys.argv[1]))
    print("ready", flush=True)
    sys.stdin.readline()
    sys.exit(run(sys.argv[2:]))
