"""Put files into a local store of hf-xet, or take them out; a program, run by its path.

python xet.py upload STORE LIST FILE...      writes what was stored where to LIST
python xet.py download STORE LIST FOLDER     brings back the files of LIST
"""

from __future__ import annotations

import json
import sys
from importlib import import_module
from pathlib import Path
from typing import Any


def upload(store: str, listing: Path, names: list[str]) -> None:
    """Store files, in the order in which they are named."""
    module: Any = import_module("hf_xet")
    stored = module.upload_files(names, f"local://{store}", None, None, None, None)
    found = [[name, info.hash, info.file_size] for name, info in zip(names, stored, strict=True)]
    listing.write_text(json.dumps(found))


def download(store: str, listing: Path, folder: Path) -> None:
    """Bring files back."""
    module: Any = import_module("hf_xet")
    wanted = [
        module.PyXetDownloadInfo(str(folder / name), digest, size)
        for name, digest, size in json.loads(listing.read_text())
    ]
    module.download_files(wanted, f"local://{store}", None, None, None)


if __name__ == "__main__":
    verb, target, listing_path, *rest = sys.argv[1:]
    if verb == "upload":
        upload(target, Path(listing_path), rest)
    else:
        download(target, Path(listing_path), Path(rest[0]))
