"""Bring the lower bits that stayed at a remote."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass, field

from mvc.base.errors import IntegrityError, TailAwayError
from mvc.base.progress import SILENT, Progress
from mvc.repo.remotes import Remote
from mvc.repo.repository import Repository
from mvc.store import sweep
from mvc.store.census import census
from mvc.store.locks import alone, maintenance
from mvc.store.merge import Merger
from mvc.store.rewrite import Rewriter
from mvc.store.tail_packs import rebuild
from mvc.store.tails import StoreSource
from mvc.sync.completing import Completing, Whole, lacking, tailless
from mvc.sync.limits import MAX_BASES
from mvc.sync.link import Link
from mvc.sync.listing import listed
from mvc.sync.memory import Memory
from mvc.sync.quarantine import quarantine
from mvc.sync.transfer import Sums


@dataclass(frozen=True, slots=True)
class Completed:
    """How many chunks have their lower bits now, what came, and in how many packs some are left.

    What is left is no part of any version that may be read there.
    """

    chunks: int
    sent: Sums = field(default_factory=Sums)
    left: int = 0


def complete(
    repo: Repository, remote: Remote, link: Link, progress: Progress = SILENT
) -> Completed:
    """Bring the lower bits of all chunks that a remote holds them of; each is verified.

    Cut off, it goes on where it was when it is run again. Raises NegativeAnswer beside a gc or
    repack.
    """
    where = remote.name or remote.url
    wanted = lacking(repo, where)
    sums = Sums()
    key = Memory(repo, remote.url).key
    with closing(quarantine(repo, f"remote {key} full")) as held:
        if wanted:
            listing = listed(link)
            targets = list(dict.fromkeys(listing.refs.values()))
            run = Completing(repo, link, held, listing.part_bytes, progress)
            for at in range(0, len(targets), MAX_BASES):
                done = run.bring(targets[at : at + MAX_BASES], lacking(repo, where))
                sums.parts += done.parts
                sums.bytes += done.bytes
        if held.parts():
            # Of a run that was cut off at its end.
            held.drop(held.parts())
    with maintenance(repo.scratch):
        _forget(repo, where)
        left = _rebuild(repo, where)
    return Completed(len(wanted) - len(lacking(repo, where)), sums, left)


def _forget(repo: Repository, where: str) -> None:
    """Remove the packs without tails whose chunks are here whole; what else they hold is copied."""
    store = repo.store
    store.refresh()
    packs = census(store)
    whole = Whole(repo)
    doomed = {
        name
        for name in _tailless(repo, where)
        if name in packs and all(whole.has_chunk(item.id) for item in packs[name].chunks)
    }
    every = {item for pack in packs.values() for item in pack.ids()}
    with Rewriter(store, repo.scratch) as writer:
        Merger(store, packs, every).copy(doomed, doomed, writer, lambda _: None)
    with alone(repo.scratch):
        store.refresh()
        packs = census(store, packs)
        gone = sweep.removable(packs, doomed, lambda _: True)
        sweep.remove(store, gone, packs)
        named = {name for name, place in repo.offloaded.packs().items() if place == where}
        repo.offloaded.remove(gone | (named - set(_tailless(repo, where))))


def _rebuild(repo: Repository, where: str) -> int:
    """Make packs anew that are still without tails, chunk by chunk; return how many are left."""
    left = 0
    for name in _tailless(repo, where):
        try:
            rebuild(repo.store, name, StoreSource(repo.store), repo.scratch)
        except TailAwayError:
            raise
        except IntegrityError:
            left += 1
            continue
        repo.offloaded.remove([name])
    return left


def _tailless(repo: Repository, where: str) -> Sequence[str]:
    return sorted(name for name, place in tailless(repo).items() if place == where)
