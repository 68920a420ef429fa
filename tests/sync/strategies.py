"""Random messages of every kind, as Hypothesis strategies."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from hypothesis import strategies as st

from mvc.sync.messages import (
    Asked,
    Change,
    Done,
    GiveReply,
    GiveRequest,
    MissingReply,
    MissingRequest,
    Named,
    Outcome,
    PartRequest,
    Planned,
    PlanReply,
    PlanRequest,
    RefsReply,
    RefsRequest,
    Refusal,
    UpdateReply,
    UpdateRequest,
)
from tests.objects.samples import ids, names

numbers = st.integers(0, 2**63 - 1)
maybe_ids = st.none() | ids
tokens = st.binary(min_size=16, max_size=16)
flags = st.booleans()


def many(items: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.lists(items, max_size=5).map(tuple)


def distinct(items: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.lists(items, max_size=5, unique=True).map(tuple)


def row(form: Callable[..., Any], *parts: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.tuples(*parts).map(lambda found: form(*found))


refs = many(row(Named, names, ids))
changes = many(row(Change, names, maybe_ids, maybe_ids, flags))
outcomes = many(row(Outcome, names, names, names))
asked = distinct(row(Asked, ids, maybe_ids))
entries = row(Planned, ids, names, numbers, maybe_ids)

requests: st.SearchStrategy[Any] = st.one_of(
    st.builds(RefsRequest, many(names), names, maybe_ids),
    st.builds(MissingRequest, distinct(ids), distinct(ids)),
    st.builds(PartRequest, ids, numbers, numbers),
    st.builds(UpdateRequest, tokens, distinct(ids), distinct(ids), changes, flags),
    st.builds(PlanRequest, distinct(ids), distinct(ids), numbers, many(names), flags),
    st.builds(GiveRequest, distinct(ids), asked, flags),
)
REPLIES: dict[type, st.SearchStrategy[Any]] = {
    RefsRequest: st.builds(RefsReply, refs, flags, st.none() | names, ids, flags, numbers),
    MissingRequest: st.builds(MissingReply, distinct(ids)),
    PartRequest: st.just(Done()),
    UpdateRequest: st.builds(UpdateReply, outcomes),
    PlanRequest: st.builds(PlanReply, numbers, numbers, distinct(ids)),
    GiveRequest: st.builds(GiveReply, ids, numbers, numbers),
}
refusals = st.builds(Refusal, names, names, st.none() | names, flags)
