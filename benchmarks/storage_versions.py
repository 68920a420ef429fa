"""Which release of each contender was measured, so that earlier results can be told from stale."""

from __future__ import annotations

import hashlib
import importlib.metadata
import subprocess
import sys
from functools import cache
from pathlib import Path

from benchmarks.contenders import CODINGS, OURS

REVISION = 1
"""Of the codings written here; higher whenever one of them counts otherwise."""

PACKAGES = {"int-delta": "pcodec", "zipnn": "zipnn", "zipnn-xor": "zipnn"}
UNKNOWN = "unknown"


@cache
def version(contender: str) -> str:
    """Return the release of a contender; of mvc, also what its sources hash to."""
    if contender in OURS:
        return _of_mvc()
    if contender in CODINGS:
        package = PACKAGES.get(contender, "zstandard")
        return f"{package} {_package(package)}, coding {REVISION}"
    if contender == "xet":
        return f"hf-xet {_package('hf-xet')}"
    return _of_program(contender)


def _package(name: str) -> str:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return UNKNOWN


def _of_mvc() -> str:
    # Not imported here: the program that is measured may be of another folder than this one.
    found = _said([sys.executable, "-c", "import mvc; print(mvc.__path__[0])"])
    digest = hashlib.sha256()
    folder = Path(found)
    for path in sorted(folder.rglob("*.py")):
        digest.update(str(path.relative_to(folder)).encode() + b"\0" + path.read_bytes())
    return f"mvc {_package('mvc')}, sources {digest.hexdigest()[:10]}"


def _of_program(program: str) -> str:
    if program == "git-theta":
        python = Path(_said(["which", program])).with_name("python")
        metadata = "import importlib.metadata as m; print('git-theta', m.version('git-theta'))"
        return _said([str(python), "-c", metadata])
    arguments = {"restic": "version", "git-lfs": "version", "xdelta3": "-V"}
    said = _said([program, arguments.get(program, "--version")])
    return said.split(" (")[0].split(" compiled")[0].split(", ")[0]


def _said(command: list[str]) -> str:
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False, cwd="/")
    except OSError:
        return UNKNOWN
    text = (done.stdout.strip() or done.stderr.strip()).splitlines()
    return text[0] if done.returncode == 0 and text else UNKNOWN
