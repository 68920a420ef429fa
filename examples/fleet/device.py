"""One device: it takes the released model, learns, commits and pushes, over each carrier in turn.

    python -m examples.fleet.device NAME FOLDER --way "every layer" --seed 1 --link URL --link URL

Prints a line of JSON for each version that it pushed: the carrier, the commit and the sha256 of the
model.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from examples.fleet.tuning import WAYS

MVC = Path(sys.executable).with_name("mvc")
MODEL = "model.safetensors"


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m examples.fleet.device", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("name")
    parser.add_argument("folder", type=Path, help="is made; the device's own repository")
    parser.add_argument("--way", choices=WAYS, required=True)
    parser.add_argument("--seed", type=int, required=True)
    parser.add_argument("--link", action="append", required=True, help="the centre's address")
    parser.add_argument("--token-file", type=Path, help="for http")
    args = parser.parse_args(argv)
    args.folder.mkdir(parents=True)
    token = ["--token-file", str(args.token_file)] if args.token_file else []
    mvc(args.folder, "device", "init", args.name, args.link[0], *token)
    for number, link in enumerate(args.link):
        mvc(args.folder, "remote", "set-url", "origin", link)
        WAYS[args.way](args.folder / MODEL, args.seed + 1000 * number)
        message = f"{args.name} learned, round {number + 1}"
        mvc(args.folder, "commit", "-m", message, "--label", f"way={args.way}")
        pushed = json.loads(mvc(args.folder, "push", "--json"))
        commit = mvc(args.folder, "rev-parse", "HEAD").strip()
        digest = hashlib.sha256((args.folder / MODEL).read_bytes()).hexdigest()
        told = {"link": link, "commit": commit, "sha256": digest, "sent": pushed["bytes"]}
        print(json.dumps(told), flush=True)
    return 0


def mvc(folder: Path, *arguments: str) -> str:
    """Run mvc in the device's repository and return what it printed."""
    done = subprocess.run(
        [MVC, *arguments],
        cwd=folder,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    return done.stdout


if __name__ == "__main__":
    raise SystemExit(main())
