"""Lineage as programs read it (docs/pictures.md). Fields may be added, never changed or removed."""

from __future__ import annotations

from typing import Any

from mvc.base.wording import iso_time
from mvc.ops.lineage import Lineage, Node


def of_lineage(found: Lineage) -> dict[str, Any]:
    """Return the nodes, the newest first, every one before its parents."""
    return {"commits": found.commits, "nodes": [_node(node) for node in found.nodes]}


def _node(node: Node) -> dict[str, Any]:
    return {
        "id": node.id.hex(),
        "refs": list(node.names),
        "time": iso_time(node.commit.time),
        "author": node.commit.author,
        "message": node.commit.message,
        "labels": dict(node.commit.labels),
        "shallow": node.shallow,
        "parents": [{"id": link.parent.hex(), "between": link.between} for link in node.parents],
    }
