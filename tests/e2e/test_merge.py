"""A round of a fleet, in processes of their own: a hundred branches, one and two processors."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load, save

from mvc.base.ids import ObjectId
from mvc.objects.history import Commit, Metric
from mvc.repo import trees
from mvc.repo.ingest import ingest
from mvc.repo.repository import Environment, Repository
from mvc.store.transaction import Transaction
from tests.ops.lines import MODEL, Lines

DEVICES = 100
ROUND = ["merge", "--strategy", "average", "--weight-by", "samples", "--into", "main", "devices/*"]
PROGRAM = """
import os, sys
os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:int(sys.argv[1])])
from mvc.cli.main import run
sys.exit(run(sys.argv[2:]))
"""


def mvc(root: Path, *arguments: str, processors: int = 2, code: int = 0) -> str:
    environment = {
        **os.environ,  # noqa: TID251
        "MVC_AUTHOR_NAME": "Server",
        "MVC_AUTHOR_EMAIL": "server@example.org",
    }
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, str(processors), "-C", str(root), *arguments],
        capture_output=True,
        text=True,
        check=False,
        timeout=600,
        env=environment,
    )
    assert done.returncode == code, done.stdout + done.stderr
    return done.stdout


class Bytes:
    def __init__(self, data: bytes) -> None:
        self._data = data
        self.size = len(data)

    def read_at(self, offset: int, length: int) -> bytes:
        return self._data[offset : offset + length]


def weights(device: int) -> dict[str, np.ndarray]:
    draw = np.random.default_rng(0)
    step = np.random.default_rng(device + 1)
    found = {}
    for name, kind in (("body", np.float32), ("head", np.float16), ("never", np.float32)):
        base = draw.standard_normal((40, 50))
        moved = base + (0 if name == "never" else 0.01 * step.standard_normal((40, 50)))
        found[name] = moved.astype(kind) if device >= 0 else base.astype(kind)
    found["steps"] = np.array([device + 1], np.int64)
    return found


def samples(device: int) -> int:
    return 50 + 7 * device


def fleet(root: Path) -> list[str]:
    """Make a bare repository with a branch for each device; return their commits."""
    environment = Environment(author="Device", clock=lambda: 1_700_000_000_000_000)
    with Repository.init(root, bare=True, environment=environment) as repo:
        commits: list[ObjectId] = []
        with Transaction(repo.store, repo.scratch) as tx:
            for device in range(-1, DEVICES):
                entry = ingest(tx, Bytes(save(weights(device)))).entry
                tree = trees.write_files(tx.put, {MODEL: entry})
                metrics = (Metric("samples", float(samples(device))),) if device >= 0 else ()
                parents = tuple(commits[:1])
                made = Commit(tree, parents, "Device", 1 + len(commits), "x", {}, metrics)
                commits.append(tx.put(made))
            tx.commit()
            for device, commit in enumerate(commits, -1):
                ref = "refs/heads/main" if device < 0 else f"refs/heads/devices/d{device:03}/main"
                repo.refs.update(ref, None, commit, repo.change(None, commit, "made"))
    return [commit.hex() for commit in commits]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[str]]:
    root = tmp_path_factory.mktemp("fleet") / "server.mvc"
    return root, fleet(root)


def test_a_round_of_a_hundred_devices_is_one_commit_with_their_weighted_mean(
    server: tuple[Path, list[str]], tmp_path: Path
) -> None:
    origin, commits = server
    found: list[dict[str, Any]] = []
    for number, processors in enumerate((1, 2, 2)):
        root = tmp_path / str(number)
        shutil.copytree(origin, root)
        found.append(json.loads(mvc(root, *ROUND, "--json", processors=processors)))
        mvc(root, "export", "main", str(tmp_path / f"out{number}"))
    files = {(tmp_path / f"out{number}" / MODEL).read_bytes() for number in range(3)}
    assert len(files) == 1
    assert len({item["tree"] for item in found}) == 1
    done = found[0]
    assert done["status"] == "merged"
    assert [item["commit"] for item in done["parents"]] == commits
    assert [item["weight"] for item in done["parents"]] == [0, *map(samples, range(DEVICES))]
    shown = json.loads(mvc(tmp_path / "0", "show", "main", "--json"))
    assert shown["parents"] == commits
    weighed = ",".join(map(str, [0, *map(samples, range(DEVICES))]))
    assert shown["params"]["merge.weights"] == weighed
    merged = load(files.pop())
    assert np.array_equal(merged["never"], weights(-1)["never"])
    for name in ("body", "head"):
        total = np.zeros((40, 50))
        for device in range(DEVICES):
            total += samples(device) * weights(device)[name].astype(np.float64)
        exact = total / sum(map(samples, range(DEVICES)))
        assert np.array_equal(merged[name], exact.astype(merged[name].dtype))


def test_the_parents_of_a_round_are_shown_with_their_weights(
    server: tuple[Path, list[str]], tmp_path: Path
) -> None:
    origin, commits = server
    root = tmp_path / "server"
    shutil.copytree(origin, root)
    mvc(root, *ROUND)
    shown = mvc(root, "show", "main").splitlines()
    rows = [line.split() for line in shown if "(devices/" in line]
    assert [(row[0], row[1]) for row in rows] == [
        (str(samples(device)), commit[:10]) for device, commit in enumerate(commits[1:])
    ]
    logged = mvc(root, "log", "-n", "1", "main")
    assert "and 93 more" in logged
    assert len(max(logged.splitlines(), key=len)) < 200
    assert mvc(root, "fsck")


def test_a_merge_that_is_interrupted_leaves_everything_as_it_was(tmp_path: Path) -> None:
    lines = Lines(tmp_path / "work")
    big = {"w": np.random.default_rng(0).standard_normal(6 << 20).astype(np.float32)}
    lines.save("big", {"big.safetensors": big})
    lines.branch("other", {"big.safetensors": {"w": big["w"] + np.float32(0.5)}})
    lines.save("mine", {"big.safetensors": {"w": big["w"] * np.float32(2)}})
    lines.repo.close()
    before = lines.files()
    child = subprocess.Popen(
        [
            *(sys.executable, "-c", PROGRAM, "2", "-C", str(lines.path)),
            *("merge", "--strategy", "ties", "other"),
        ],
        stderr=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        text=True,
    )
    for _ in range(2000):
        if any((lines.path / ".mvc" / "tmp").glob("tx-*/staged-*")) or child.poll() is not None:
            break
        time.sleep(0.01)
    child.send_signal(signal.SIGINT)
    _, errors = child.communicate(timeout=120)
    assert child.returncode in (0, 130), errors
    if child.returncode == 130:
        assert "interrupted" in errors
        assert lines.files() == before
        assert lines.clean
