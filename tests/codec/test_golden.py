from __future__ import annotations

import hashlib
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from mvc.base.dtypes import SEGMENTS
from mvc.codec import merged
from mvc.codec.chunk import EFFORTS, Transform
from tests.codec import golden
from tests.codec.golden import Golden
from tests.codec.material import FAMILIES, Case, anatomy

pytestmark = pytest.mark.usefixtures("each_kernels")

ROOT = Path(__file__).parents[2]
RECORDS = golden.records()
DIGEST = "fa8ad051b8c0a7ef6baeec5651daf39caad4f22ec9370408547dc52d0d0e81c5"


@pytest.mark.parametrize("record", RECORDS, ids=lambda record: record.name)
def test_a_record_of_old_still_decodes_to_the_same_bits(record: Golden) -> None:
    assert golden.fault(record) is None


def test_the_records_are_those_that_were_made_once() -> None:
    """Whoever must change this number has changed the format: see docs/format.md, "Versions"."""
    content = golden.PATH.read_bytes()
    assert hashlib.sha256(content).hexdigest() == DIGEST


def test_a_record_that_decodes_to_other_bits_would_be_noticed() -> None:
    record = next(item for item in RECORDS if item.name == "raw-2")
    section = bytearray(record.sections[0])
    section[-1] ^= 1
    assert golden.fault(replace(record, sections=(bytes(section),))) is not None


def explained(record: Golden) -> tuple[bytes, ...]:
    """Return the sections of a record without the factor that stands before one."""
    first, *rest = record.sections
    if record.transform == Transform.LOW_RANK:
        first = bytes(merged._split(first)[-1])
    return (first, *rest)


def test_the_records_hold_every_mode_and_kind() -> None:
    found = set()
    for record in RECORDS:
        found.add(Transform(record.transform).name)
        for data, width in zip(explained(record), SEGMENTS[record.word], strict=True):
            found |= {*anatomy(data, width)}
    assert found >= {
        "PLAIN",
        "ROTATED",
        "INTEGER_DELTA",
        "FLOAT_DELTA",
        "LOW_RANK",
        "constant",
        "raw",
        "planes:constant",
        "planes:raw",
        "planes:zstd",
        "planes:pco",
        "pco",
        "gaps",
        "groups>gaps",
        "lookup",
        "sparse",
        "groups:base:4",
        "groups:base:8",
        "groups:base:9",
        "groups:base:10",
        "groups:base:12",
        "groups:magnitude:8",
        "groups:column",
        "groups:size",
        "groups:as above",
        "groups:place",
    }


def coded() -> Iterator[str]:
    """Yield what words of all kinds are encoded to."""
    names = ["noise", "repeated", "small but for some", "octaves", "planes", "palette", "blocks"]
    pairs = [(name, None) for name in [*names, "floats"]]
    pairs += [("floats, trained", "floats"), ("floats, some steps", "floats"), ("noise", "floats")]
    for name, base in pairs:
        for word in SEGMENTS:
            for family in FAMILIES:
                for effort in EFFORTS.values():
                    words = golden.made(name, word, 20_000)
                    held = None if base is None else golden.made(base, word, 20_000)
                    case = Case(name, words, held, family, effort)
                    whole = b"".join(case.encode().sections)
                    yield hashlib.sha256(whole).hexdigest()


@pytest.mark.parametrize("threads", ["1", "7"])
def test_other_numbers_of_threads_change_no_bit(threads: str) -> None:
    program = (
        "from tests.codec import golden\n"
        "from tests.codec.test_golden import coded\n"
        "print(*coded())\ngolden.main()\n"
    )
    names = ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS", "RAYON_NUM_THREADS")
    done = subprocess.run(
        [sys.executable, "-c", program],
        capture_output=True,
        text=True,
        check=False,
        cwd=ROOT,
        env=dict.fromkeys(names, threads),
    )
    assert done.returncode == 0, done.stderr[-2000:]
    digests, said = done.stdout.splitlines()
    assert digests.split() == [*coded()]
    assert said.startswith(f"{len(RECORDS)} records")


@pytest.mark.parametrize(
    "setting",
    [
        "OPENBLAS_NUM_THREADS=1",
        "OPENBLAS_NUM_THREADS=4",
        "OPENBLAS_CORETYPE=Haswell",
        "OPENBLAS_CORETYPE=Nehalem",
        "NPY_DISABLE_CPU_FEATURES",
        "PYTHONHASHSEED=1",
    ],
)
def test_other_kernels_of_numpy_decode_the_same_bits(setting: str) -> None:
    """Another version of NumPy as well: run the program by itself with one installed."""
    name, _, value = setting.partition("=")
    if name == "NPY_DISABLE_CPU_FEATURES":
        value = " ".join(np.show_config(mode="dicts")["SIMD Extensions"].get("found", []))
    done = subprocess.run(
        ["env", f"{name}={value}", sys.executable, "-m", "tests.codec.golden"],
        capture_output=True,
        text=True,
        check=False,
        cwd=ROOT,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    assert done.stdout.startswith(f"{len(RECORDS)} records")
