"""What an asker may do: verbs and the refs they are granted for. Nothing is granted by default."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

Verb = Literal["read", "append", "force"]
VERBS: tuple[Verb, ...] = ("read", "append", "force")
ALL_REFS = "refs/"


@dataclass(frozen=True, slots=True)
class Grant:
    """A verb for the refs that start with a prefix; one without a `/` at its end is a full name."""

    verb: Verb
    prefix: str

    def covers(self, ref: str) -> bool:
        """Tell whether a ref is meant."""
        return ref == self.prefix or (self.prefix.endswith("/") and ref.startswith(self.prefix))


@dataclass(frozen=True, slots=True)
class Grants:
    """Everything granted to one asker, who is called `name` in logs and reflogs.

    `append` creates refs and moves them forward; `force` moves them anywhere and deletes them.
    """

    name: str
    held: frozenset[Grant] = field(default_factory=frozenset)

    def allows(self, verb: Verb, ref: str) -> bool:
        """Tell whether a verb is granted for a ref."""
        return any(grant.verb == verb and grant.covers(ref) for grant in self.held)

    @property
    def reads_all(self) -> bool:
        """Tell whether there is nothing in the repository that the asker may not read."""
        return Grant("read", ALL_REFS) in self.held

    @property
    def appends(self) -> bool:
        """Tell whether there is any ref that the asker may move."""
        return any(grant.verb != "read" for grant in self.held)


def everything(name: str) -> Grants:
    """Return the grants of whoever owns the repository's files."""
    return Grants(name, frozenset(Grant(verb, ALL_REFS) for verb in VERBS))


def device(name: str, reads: tuple[str, ...] = ("refs/heads/main", "refs/tags/")) -> Grants:
    """Return the grants of a device: it adds below its own prefix, and reads releases."""
    own = device_prefix(name)
    held = {Grant("append", own), Grant("read", own), *(Grant("read", ref) for ref in reads)}
    return Grants(f"device {name}", frozenset(held))


def device_prefix(name: str) -> str:
    """Return the prefix of the refs of a device."""
    return f"refs/heads/devices/{name}/"
