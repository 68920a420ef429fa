"""docs/protocol.md against the code: its tables, and its vectors both ways."""

from __future__ import annotations

import json
import re
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest

from mvc.base.ids import ObjectId, digest
from mvc.objects import canonical
from mvc.sync import frames as framing
from mvc.sync import limits, link
from mvc.sync.frames import frames, read_message
from mvc.sync.messages import (
    REPLIES,
    VERBS,
    Asked,
    Change,
    Named,
    Outcome,
    Planned,
    Refusal,
    decode_reply,
    decode_request,
    encode_reply,
    encode_request,
    planned,
)

TEXT = (Path(__file__).parents[2] / "docs" / "protocol.md").read_text("utf-8")
ROWS = {"refs": Named, "changes": Change, "results": Outcome, "objects": Asked}


class Vector(dict[str, Any]):
    """A test vector: `value` as Python, the other lines as bytes."""

    def __init__(self, kind: str, name: str, body: str) -> None:
        super().__init__()
        self.kind, self.name = kind, name
        for line in body.strip().split("\n"):
            key, text = line.split(": ", 1)
            self[key] = from_json(json.loads(text)) if key == "value" else bytes.fromhex(text)


def from_json(value: Any) -> Any:
    if isinstance(value, str) and value.startswith("0x"):
        return bytes.fromhex(value[2:])
    if isinstance(value, list):
        return [from_json(item) for item in value]
    if isinstance(value, dict):
        return {key: from_json(item) for key, item in value.items()}
    return value


VECTORS = [
    Vector(*found)
    for found in re.findall(r"^```vector kind=(\S+) name=(\S+)\n(.*?)^```$", TEXT, re.M | re.S)
]


def of(kind: str) -> Any:
    found = [vector for vector in VECTORS if vector.kind == kind]
    assert found
    return pytest.mark.parametrize("vector", found, ids=lambda vector: vector.name)


def table(header: str) -> list[list[str]]:
    """Return the cells of the table whose header starts so, without quotes."""
    _, found, rest = TEXT.partition(f"\n{header}")
    assert found, header
    lines = rest.split("\n")[2:]
    rows = lines[: next(n for n, line in enumerate(lines) if not line.startswith("|"))]
    return [[cell.strip() for cell in row.strip("|").split("|")] for row in rows]


def told(cell: str) -> list[str]:
    return re.findall(r"`([\w-]+)`", cell)


def built(name: str, value: dict[str, Any], form: Any) -> Any:
    """Return the message of a vector's value, made without decoding."""
    made = {}
    for key, held in value.items():
        row = ROWS.get(key)
        if isinstance(held, list):
            held = tuple(row(*item) if row and isinstance(item, list) else item for item in held)
        made[key] = held
    return form(**made)


def test_every_fenced_vector_is_read() -> None:
    assert len(VECTORS) == TEXT.count("```vector")
    assert len({(vector.kind, vector.name) for vector in VECTORS}) == len(VECTORS)
    for kind in ("request", "reply"):
        assert {vector.name for vector in VECTORS if vector.kind == kind} == VERBS.keys()


@of("frames")
def test_frames_are_as_written(vector: Vector) -> None:
    value = vector["value"]
    message = canonical.encode(value["message"])
    body = value["body"]
    assert b"".join(frames(message, body)) == vector["bytes"]
    left = bytearray(vector["bytes"])

    def read(most: int) -> bytes:
        taken = bytes(left[:most])
        del left[:most]
        return taken

    found, pieces = read_message(read)
    assert (found, [*pieces]) == (message, body)
    assert not left


@of("request")
def test_requests_are_as_written(vector: Vector) -> None:
    made = built(vector.name, vector["value"], VERBS[vector.name])
    assert encode_request(made) == vector["bytes"]
    assert decode_request(vector["bytes"]) == made


@of("reply")
def test_replies_are_as_written(vector: Vector) -> None:
    request = VERBS[vector.name]
    made = built(vector.name, vector["value"], REPLIES[request])
    assert encode_reply(made) == vector["bytes"]
    assert decode_reply(vector["bytes"], request) == made


@of("refusal")
def test_refusals_are_as_written(vector: Vector) -> None:
    made = Refusal(**vector["value"])
    assert encode_reply(made) == vector["bytes"]
    for request in REPLIES:
        assert decode_reply(vector["bytes"], request) == made


@of("entry")
def test_entries_of_a_plan_are_as_written(vector: Vector) -> None:
    made = Planned(*vector["value"])
    assert made.encode() == vector["bytes"]
    assert planned(canonical.decode(vector["bytes"])) == made


@of("state")
def test_the_state_of_refs_is_as_written(vector: Vector) -> None:
    parts = [name.encode() + b"\0" + ObjectId(target) for name, target in vector["value"]]
    assert digest(b"".join(parts)) == vector["state"]


def test_the_table_of_frames_is_that_of_the_code() -> None:
    for number, name, _ in table("| kind | name |"):
        assert getattr(framing, name) == int(number)
    kinds = {int(number) for number, *_ in table("| kind | name |")}
    assert kinds == framing._LIMITS.keys()


def test_the_table_of_verbs_is_that_of_the_code() -> None:
    rows = table("| verb | request |")
    assert [told(row[0])[0] for row in rows] == [*VERBS]
    for verb, asked, _, answered, _ in rows:
        request = VERBS[told(verb)[0]]
        assert told(asked) == [field.name for field in fields(request)]
        assert told(answered) == [field.name for field in fields(REPLIES[request])]
        assert {*told(asked)} == request.CHECKS.keys()
        assert {*told(answered)} == REPLIES[request].CHECKS.keys()


def test_the_table_of_errors_is_that_of_the_code() -> None:
    rows = {told(code)[0]: again for code, _, again in table("| code | meaning |")}
    assert {*rows.values()} == {"yes", "no"}
    assert {code for code, again in rows.items() if again == "yes"} == link.AGAIN
    assert link._RAISED.keys() | link._CODES.keys() <= rows.keys()


def test_the_table_of_statuses_names_errors() -> None:
    rows = {told(code)[0]: int(status) for status, code in table("| status | code |")}
    assert rows.keys() <= {told(code)[0] for code, *_ in table("| code | meaning |")}
    assert all(400 <= status < 600 for status in rows.values())


def test_the_table_of_limits_is_that_of_the_code() -> None:
    rows = {told(name)[0]: int(value) for name, value, _ in table("| name | value |")}
    known = {name: value for name, value in vars(limits).items() if name.isupper()}
    assert known.pop("VERSION") == 1
    assert rows == known
    named = set(re.findall(r"`([A-Z_]{4,})`", TEXT))
    assert named <= rows.keys()
