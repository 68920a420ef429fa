"""Packs that are put together as they are read."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mvc.base import fileio
from mvc.base.errors import NotFoundError
from mvc.storage.memory import MemoryStorage
from mvc.store.composed import ComposedFile, Source

HELD = {"packs/a": bytes(range(200)), "packs/b": bytes(range(100, 250))}

steps = st.lists(
    st.one_of(
        st.binary(max_size=20),
        st.tuples(st.sampled_from(sorted(HELD)), st.integers(0, 100), st.integers(0, 40)),
    ),
    max_size=12,
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(steps, st.integers(1, 64))
def test_what_is_written_and_what_lies_elsewhere_is_one_file(
    tmp_path: Path, made: list[bytes | tuple[str, int, int]], most: int
) -> None:
    storage = MemoryStorage()
    for key, value in HELD.items():
        storage.write_new(key, value)
    expected = b""
    with fileio.Workspace(tmp_path) as workspace:
        file = ComposedFile(workspace)
        for step in made:
            if isinstance(step, bytes):
                file.write(step)
                expected += step
            else:
                key, at, length = step
                file.refer(Source(storage, key, at), length)
                expected += HELD[key][at : at + length]
            assert file.size == len(expected)
        file.seal(durable=False)
        pieces = list(file.read(most))
        assert b"".join(pieces) == expected
        assert all(len(piece) == most for piece in pieces[:-1])
        assert list(file.read(most)) == pieces
        file.discard()


def test_what_has_gone_meanwhile_is_told(tmp_path: Path) -> None:
    storage = MemoryStorage()
    storage.write_new("packs/a", b"value")
    with fileio.Workspace(tmp_path) as workspace:
        file = ComposedFile(workspace)
        file.refer(Source(storage, "packs/a", 1), 3)
        storage.delete("packs/a")
        with pytest.raises(NotFoundError):
            list(file.read(10))
        file.discard()
