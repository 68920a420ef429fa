from __future__ import annotations

import inspect
import re

import pytest

from mvc.base import errors
from mvc.base.errors import MvcError

KINDS = [item for _, item in inspect.getmembers(errors, inspect.isclass) if item is not MvcError]


def drawn() -> dict[str, int]:
    rows = re.findall(r"(\w+(?:Error|Answer)) +(\d+)", errors.__doc__ or "")
    return {name: int(code) for name, code in rows}


def test_the_drawn_tree_shows_every_error() -> None:
    assert set(drawn()) == {kind.__name__ for kind in KINDS}


@pytest.mark.parametrize("kind", KINDS)
def test_exit_codes_are_as_drawn(kind: type[MvcError]) -> None:
    assert kind.exit_code == drawn()[kind.__name__]


def test_each_kind_of_error_has_its_own_code() -> None:
    assert len({kind.code for kind in KINDS}) == len(KINDS)


def test_an_error_carries_its_sentence_and_the_next_step() -> None:
    error = errors.NotFoundError("no such thing", hint="make one")
    assert (str(error), error.message, error.hint) == ("no such thing", "no such thing", "make one")


def test_above_a_limit_is_a_kind_of_malformed_and_missing_a_kind_of_damaged() -> None:
    assert issubclass(errors.LimitError, errors.FormatError)
    assert issubclass(errors.MissingObjectError, errors.IntegrityError)
    assert not issubclass(errors.FormatError, errors.IntegrityError)
