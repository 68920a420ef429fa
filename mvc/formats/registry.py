"""Which reader a file gets: decided by its bytes, never by its name."""

from __future__ import annotations

from dataclasses import dataclass

from mvc.base.errors import FormatError
from mvc.formats import (
    gguf,
    hdf5,
    keras_zip,
    npy,
    npz,
    onnx,
    safetensors,
    tflite,
    torch_legacy,
    torch_zip,
)
from mvc.formats.base import Format, Located, Source, checked

HEAD_BYTES = 512

FORMATS: dict[str, Format] = {
    entry.name: entry
    for entry in (
        Format("safetensors", safetensors.matches, safetensors.locate),
        Format("gguf", gguf.matches, gguf.locate),
        Format("npy", npy.matches, npy.locate),
        Format("pytorch", torch_zip.matches, torch_zip.locate),
        Format("npz", npz.matches, npz.locate),
        Format("keras", keras_zip.matches, keras_zip.locate, requires="hdf5"),
        Format("hdf5", hdf5.matches, hdf5.locate, requires="hdf5"),
        Format("tflite", tflite.matches, tflite.locate),
        Format("pytorch-legacy", torch_legacy.matches, torch_legacy.locate),
        Format("onnx", onnx.matches, onnx.locate),
    )
}


@dataclass(frozen=True, slots=True)
class Outcome:
    """What was found in a file.

    `located` is None, or has no extents, for a file kept whole; `warning` then says why if the
    file looked like a model.
    """

    located: Located | None
    warning: str | None = None


def locate(source: Source) -> Outcome:
    """Find the tensors of a file. Never raises for what the file holds."""
    head = source.read_at(0, min(HEAD_BYTES, source.size))
    for entry in FORMATS.values():
        if not entry.matches(head, source):
            continue
        try:
            found = checked(entry.locate(source), source.size)
        except FormatError as error:
            return Outcome(
                None, f"looks like {entry.name}, but {error.message}; kept whole as bytes"
            )
        except ImportError:
            return Outcome(
                None,
                f"kept whole as bytes: the tensors of {entry.name} need an extra, "
                f"pip install 'mvc[{entry.requires}]'",
            )
        if found.extents or not found.notes:
            return Outcome(found)
        reason = found.notes[0].removesuffix(".")
        return Outcome(
            found,
            f"looks like {entry.name}, but no tensor lies plainly in it ({reason}); "
            "kept whole as bytes",
        )
    return Outcome(None)
