from __future__ import annotations

import importlib
from collections.abc import Iterator

import pytest

from mvc.codec import kernels
from mvc.codec.kernels import Kernels

KERNELS = ("numpy", "compiled")


def kernels_of(name: str) -> Kernels:
    """Return the inner loops of that name; the test is skipped where they were not compiled."""
    try:
        found: Kernels = importlib.import_module(f"mvc.codec.kernels_{name}").KERNELS
    except ImportError:
        pytest.skip("nothing compiled mvc/codec/_kernels.c when mvc was installed")
    return found


@pytest.fixture(params=KERNELS, scope="module")
def each_kernels(request: pytest.FixtureRequest) -> Iterator[Kernels]:
    """Run the tests of a module with either kind of inner loops."""
    before = kernels.chosen
    kernels.chosen = kernels_of(request.param)
    yield kernels.chosen
    kernels.chosen = before
