"""The matrix that a chunk is a part of."""

from __future__ import annotations

from dataclasses import dataclass

from mvc.codec.lowrank import Factor


class Rights:
    """The right factor that a chunk of a matrix found, for the others. Safe from several threads.

    A chunk of a wide matrix holds few rows, so that its right factor is most of what it takes.
    """

    def __init__(self) -> None:
        self.latest: Factor | None = None


@dataclass(frozen=True, slots=True)
class Matrix:
    """Where the words of a chunk lie in their matrix.

    `dtype` is the element type, `columns` the words of a row and `start` the place of the chunk's
    first word in the tensor. Where the matrix has several chunks, `rows` is the number of its rows
    and `rights` what its chunks share.
    """

    dtype: str
    columns: int
    start: int
    rows: int = 0
    rights: Rights | None = None
