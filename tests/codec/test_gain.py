from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mvc.codec import gain, pco
from mvc.codec.gain import Field
from mvc.codec.section import BaseBits, Context
from mvc.codec.segments import Segment
from tests.codec.material import ALONE, noise, weights

COUNT = 1 << 16


def grouped(top: Segment, residual: Segment, field: Field) -> int:
    """Return what the groups take, each coded on its own."""
    found = Context(len(top), top).grouping(BaseBits(field.bits, 12, field.signed))
    gathered = found.gather(residual)
    cuts = np.cumsum(found.sizes)[:-1]
    return sum(len(pco.compress(part)) for part in np.split(gathered, cuts))


def moved(rng: np.random.Generator, top: Segment) -> Segment:
    """Return residuals whose size depends on the exponent of the base."""
    exponent = (top >> 7 & 0xFF).astype(np.int64)
    return (np.abs(rng.normal(0, 1, len(top))) * 2.0 ** (124 - exponent).clip(0, 14)).astype("<u2")


def test_what_groups_save_is_about_what_was_foretold() -> None:
    rng = np.random.default_rng(1)
    top = (rng.normal(0, 0.02, COUNT).astype("<f4").view("<u4") >> 16).astype("<u2")
    residual = moved(rng, top)
    fields = [Field(bits) for bits in (8, 9, 10)] + [Field(8, signed=False)]
    saved = gain.savings(top, (residual,), fields, 1 << 12, 1.0)
    for field in fields:
        real = len(pco.compress(residual)) - grouped(top, residual, field)
        assert real > 0.05 * len(pco.compress(residual))
        assert 0.7 * real < saved[field][0] < 1.4 * real
        held = top if field.signed else top << np.uint16(1)
        keys = (held >> (16 - field.bits)).astype(np.intp)
        assert gain.saving(keys, (residual,), 1 << 12, 1.0) == pytest.approx(saved[field])


@pytest.mark.parametrize("width", [1, 2, 4])
def test_a_base_that_tells_nothing_saves_next_to_nothing(width: int) -> None:
    rng = np.random.default_rng(2)
    top = weights(rng, 1 << 14, 2)
    residual = rng.geometric(0.1, len(top)).clip(0, 255).astype(f"<u{width}")
    saved = gain.savings(top, (residual,), [Field(6), Field(9), Field(12)], 64, 0.0)
    for amounts in saved.values():
        assert abs(amounts[0]) < 0.01 * len(pco.compress(residual))


@given(
    st.sampled_from(sorted(ALONE)),
    st.sampled_from(sorted(ALONE)),
    st.integers(1, 3000),
    st.integers(0, 2**32 - 1),
    st.integers(16, 4096),
)
def test_any_words_have_a_finite_gain(
    shape: str, other: str, count: int, seed: int, least: int
) -> None:
    rng = np.random.default_rng(seed)
    top = ALONE[shape](rng, count, 2)
    residuals = (ALONE[other](rng, count, 2), noise(rng, count, 4))
    for amounts in gain.savings(
        top, residuals, [Field(4), Field(9, signed=False)], least, 0.5
    ).values():
        assert len(amounts) == 2
        assert np.isfinite(amounts).all()
        for amount, residual in zip(amounts, residuals, strict=True):
            assert amount <= residual.nbytes + 1
