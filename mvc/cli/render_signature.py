"""What signatures are worth, as people and programs read it."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, TypeAlias

from mvc.base.errors import IntegrityError, NegativeAnswer, NotAllowedError
from mvc.objects.history import Commit

if TYPE_CHECKING:
    from mvc.repo.signing import Verdict

Judge: TypeAlias = "Callable[[Commit], Verdict]"
EXIT_CODES = {
    "good": 0,
    "unsigned": NegativeAnswer.exit_code,
    "unknown": NotAllowedError.exit_code,
    "revoked": NotAllowedError.exit_code,
    "expired": NotAllowedError.exit_code,
    "bad": IntegrityError.exit_code,
}


def sentence(verdict: Verdict) -> str:
    """Return a verdict in words; of the commit itself nothing but its key is in them."""
    key = verdict.key.hex() if verdict.key else ""
    name = verdict.trusted.name if verdict.trusted else ""
    return {
        "good": f"good signature of {name} (key {key})",
        "unsigned": "not signed",
        "unknown": f"signed by a key that is not trusted here ({key})",
        "revoked": f"signed by the key of {name}, which was revoked (key {key})",
        "expired": f"signed by the key of {name} after it had expired (key {key})",
        "bad": "BAD signature: it does not fit this version",
    }[verdict.status]


def shape(verdict: Verdict) -> dict[str, object]:
    """Return a verdict as JSON has it (docs/json.md)."""
    return {
        "status": verdict.status,
        "key": verdict.key.hex() if verdict.key else None,
        "name": verdict.trusted.name if verdict.trusted else None,
    }
