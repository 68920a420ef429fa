"""Commits as lines of text."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from mvc.base.escape import escaped, escaped_lines
from mvc.base.ids import ObjectId
from mvc.base.wording import local_time, number, short
from mvc.cli.render_signature import Judge, sentence
from mvc.cli.session import Session
from mvc.objects.history import Commit
from mvc.repo.history import Version

SHOWN = 8
"""Parents of a merge, and their weights, that stand in one line."""

Names = dict[ObjectId, tuple[str, ...]]


class Lines:
    """Renders one commit after another."""

    def __init__(
        self,
        session: Session,
        names: Names,
        *,
        oneline: bool = False,
        graph: bool = False,
        near: Mapping[ObjectId, tuple[ObjectId, ...]] | None = None,
        judge: Judge | None = None,
    ) -> None:
        self._session = session
        self._judge = judge
        self._names = names
        self._oneline = oneline
        self._graph = None
        self._first = True
        if graph:
            from mvc.cli.graph import Graph

            self._graph = Graph(near)

    def of(self, version: Version, below: Sequence[str] = ()) -> list[str]:
        """Return the lines of a commit, with what is to stand `below` it."""
        if self._oneline:
            text = [self._subject(version)]
        else:
            text = [self._title(version), *self._signature(version), *about(version.commit)]
            text += ["", *indented(version.commit.message)]
        text += below
        if self._graph is not None:
            text += [] if self._oneline else [""]
            parents = self._session.repo.parents(version.id, version.commit)
            return self._graph.draw(version.id, parents, text)
        if not self._oneline and not self._first:
            text.insert(0, "")
        self._first = False
        return text

    def _subject(self, version: Version) -> str:
        style = self._session.style
        message = escaped(version.commit.message.partition("\n")[0])
        name = style(short(version.id), "yellow")
        return " ".join(filter(None, [name, self._decoration(version), message]))

    def _title(self, version: Version) -> str:
        title = self._session.style(f"commit {version.id.hex()}", "yellow")
        return " ".join(filter(None, [title, self._decoration(version)]))

    def _signature(self, version: Version) -> list[str]:
        return [f"Signed:  {sentence(self._judge(version.commit))}"] if self._judge else []

    def _decoration(self, version: Version) -> str:
        names = self._names.get(version.id, ())
        if not names:
            return ""
        return self._session.style(f"({', '.join(map(escaped, names))})", "cyan")


def about(commit: Commit) -> list[str]:
    """Return who, when, and what is known of a commit."""
    lines = []
    if len(commit.parents) > 1:
        more = f" and {len(commit.parents) - SHOWN} more" if commit.parents[SHOWN:] else ""
        lines.append("Merge:   " + " ".join(map(short, commit.parents[:SHOWN])) + more)
    if commit.base is not None:
        lines.append(f"Base:    {short(commit.base)}")
    lines.append(f"Author:  {escaped(commit.author)}")
    lines.append(f"Date:    {local_time(commit.time)}")
    if commit.metrics:
        metrics = (f"{escaped(item.key)} {number(item.value)}" for item in commit.metrics)
        lines.append("Metrics: " + ", ".join(metrics))
    for title, pairs in (("Params: ", commit.params), ("Labels: ", commit.labels)):
        if pairs:
            shown = (f"{escaped(key)}={_shown(key, value)}" for key, value in pairs.items())
            lines.append(f"{title} {', '.join(shown)}")
    return lines


def _shown(key: str, value: object) -> str:
    """Return the value of a param; the weights of a fleet are for `show` to list."""
    text = _value(value)
    if not key.startswith("merge.weights"):
        return text
    weights = text.split(",")
    more = f",... ({len(weights)} in all)" if weights[SHOWN:] else ""
    return ",".join(weights[:SHOWN]) + more


def _value(value: object) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    return escaped(str(value))


def indented(message: str) -> list[str]:
    """Return the lines of a message as they stand below a commit."""
    return [f"    {line}".rstrip() for line in escaped_lines(message)]
