from __future__ import annotations

from pathlib import Path

import pytest

from mvc.base.errors import NotFoundError
from mvc.base.ids import ObjectId
from mvc.objects.history import Commit
from mvc.objects.tree import Tree
from mvc.ops.lineage import LineageRequest, lineage
from mvc.repo.refs import Change
from mvc.repo.repository import Environment, Repository
from mvc.store.transaction import Transaction


@pytest.fixture
def repo(tmp_path: Path) -> Repository:
    return Repository.init(tmp_path, environment=Environment(author="Ada"))


class History:
    def __init__(self, repo: Repository) -> None:
        self.repo = repo
        self.time = 0

    def commit(self, message: str, *parents: ObjectId) -> ObjectId:
        self.time += 1
        with Transaction(self.repo.store, self.repo.scratch) as transaction:
            tree = transaction.put(Tree(()))
            made = transaction.put(Commit(tree, parents, "Ada", self.time, message))
            transaction.commit()
        return made

    def ref(self, name: str, target: ObjectId) -> None:
        self.repo.refs.update(f"refs/{name}", None, target, Change(None, target, "Ada", 0, "test"))


def drawn(repo: Repository, *refs: str) -> dict[str, list[tuple[str, int]]]:
    found = lineage(repo, LineageRequest(refs))
    names = {node.id: node.commit.message for node in found.nodes}
    return {
        node.commit.message: [(names[link.parent], link.between) for link in node.parents]
        for node in found.nodes
    }


def test_lines_are_followed_to_where_they_part_join_begin_or_have_a_name(repo: Repository) -> None:
    made = History(repo)
    root = made.commit("root")
    fork = made.commit("fork", made.commit("between", root))
    one = made.commit("one", made.commit("hidden", fork))
    two = made.commit("two", fork)
    merge = made.commit("merge", one, two)
    made.ref("heads/main", made.commit("tip", merge))
    made.ref("heads/devices/a", one)
    assert drawn(repo) == {
        "tip": [("merge", 0)],
        "merge": [("one", 0), ("fork", 1)],
        "one": [("fork", 1)],
        "fork": [("root", 1)],
        "root": [],
    }
    assert lineage(repo).commits == 8


def test_some_refs_can_be_meant(repo: Repository) -> None:
    made = History(repo)
    root = made.commit("root")
    for name in "ab":
        made.ref(f"heads/devices/{name}", made.commit(name, root))
    made.ref("heads/main", made.commit("main", root))
    assert set(drawn(repo, "devices/*")) == {"a", "b", "root"}
    assert set(drawn(repo, "main")) == {"main", "root"}
    with pytest.raises(NotFoundError, match="no branch or tag matches"):
        drawn(repo, "nothing/*")


def test_an_empty_repository_has_no_lineage(repo: Repository) -> None:
    assert lineage(repo).nodes == ()
