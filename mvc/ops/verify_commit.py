"""Judge the signatures of commits."""

from __future__ import annotations

from dataclasses import dataclass

from mvc.base.ids import ObjectId
from mvc.repo import revisions
from mvc.repo.repository import Repository
from mvc.repo.signing import Verdict, verify
from mvc.repo.trust import Trust


@dataclass(frozen=True, slots=True)
class Verified:
    """A commit and what its signature is worth."""

    commit: ObjectId
    verdict: Verdict
    expired_since: bool


def verify_commit(repo: Repository, revision: str = "HEAD") -> Verified:
    """Judge the signature of a commit by the keys that are trusted here.

    `expired_since`: its key was good when the commit says it was made, and has expired by now.
    """
    wanted = revisions.resolve(repo, revision)
    verdict = verify(repo.commit(wanted), Trust.of(repo))
    known = verdict.trusted
    late = known is not None and known.expired(repo.environment.clock())
    return Verified(wanted, verdict, verdict.status == "good" and late)
