"""Packages that some benchmarks need beyond mvc's own: the extra `bench`."""

from __future__ import annotations

import warnings
from importlib import import_module
from importlib.util import find_spec
from typing import Any


class MissingExtra(Exception):
    """A package of the extra `bench` is not installed."""


def load(name: str) -> Any:
    """Import a package of the extra.

    Raises:
        MissingExtra: It is not installed; the message says how to get it.
    """
    try:
        # What such a package has to say of itself is no matter of a benchmark.
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return import_module(name)
    except ImportError as error:
        package = name.partition(".")[0]
        raise MissingExtra(
            f"{package} cannot be imported ({error}); `pip install -e '.[bench]'` installs it"
        ) from error


def has(name: str) -> bool:
    """Tell whether a package is there, without importing it."""
    return find_spec(name) is not None
