"""Signatures of commits: making them, judging them, and refs that take no others.

A signature says that whoever holds a key made this commit, with all the history it names. It names
neither repository nor ref (docs/format.md, "Signature"), and what the key's owner is called is said
by the list of trusted keys (mvc.repo.trust), never by the commit.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal

from mvc.base.errors import FormatError, NotAllowedError, UsageError
from mvc.base.ids import ObjectId
from mvc.objects.history import Commit, Signature
from mvc.repo import keys, revisions
from mvc.repo.history import Version, walk
from mvc.repo.repository import Repository
from mvc.repo.signed_refs import SignedRefs
from mvc.repo.trust import Trust, Trusted

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

Status = Literal["good", "bad", "unknown", "revoked", "expired", "unsigned"]


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a commit's signature is worth; `trusted` is what is known of a key that made it.

    `key` is the public key that made it, or is claimed to have made a bad one.
    """

    status: Status
    key: bytes | None = None
    trusted: Trusted | None = None


def own_key(repo: Repository, *, wanted: bool | None) -> Ed25519PrivateKey | None:
    """Return the key to sign commits with, None where they are not to be signed.

    `wanted` is what was said, or None for what `commit.sign` says.
    """
    said = repo.config.get("commit.sign") if wanted is None else wanted
    if said is None or said is False:
        return None
    if said is not True:
        raise UsageError(
            "the setting commit.sign is neither true nor false",
            hint="`mvc config commit.sign true`",
        )
    user = repo.environment.user_config
    if user is None:
        raise UsageError("there is no folder that could hold keys of your own")
    name = repo.config.text("user.signing_key") or keys.DEFAULT_NAMES["ed25519"]
    return keys.signing_key(user.parent / keys.FOLDER, name)


def signed(commit: Commit, key: Ed25519PrivateKey) -> Commit:
    """Return a commit with a signature."""
    public = key.public_key().public_bytes_raw()
    return replace(commit, signature=Signature(public, key.sign(commit.signed_bytes())))


def verify(commit: Commit, trust: Trust, at: int | None = None) -> Verdict:
    """Judge a commit's signature.

    Whether the key has expired is asked for the time `at`, by default the one that the commit
    claims: a key that was good then stays good for its history.
    """
    signature = commit.signature
    if signature is None:
        return Verdict("unsigned")
    if not _fits(signature, commit.signed_bytes()):
        return Verdict("bad", signature.key)
    trusted = trust.about(signature.key)
    if trusted is None:
        return Verdict("unknown", signature.key)
    status: Status = "good"
    if trusted.revoked is not None:
        status = "revoked"
    elif trusted.expired(commit.time if at is None else at):
        status = "expired"
    return Verdict(status, signature.key, trusted)


def required(repo: Repository, ref: str, commits: Iterable[Version]) -> None:
    """Raise NotAllowedError unless a ref may be given these commits.

    Where signatures are required, each must have been made by a key that is trusted here now:
    known, not revoked, not expired by this machine's clock, whatever time a commit claims.
    `commits` is not looked at where they are not. Only the repository's own settings and keys let
    anything in, whoever runs this; where they are not understood, nothing is.
    """
    try:
        signed_refs = SignedRefs.of(repo)
        if not signed_refs.cover(ref):
            return
        keys.require_cryptography()
        trust = Trust.of(repo).own()
    except (FormatError, UsageError) as error:
        raise NotAllowedError(
            f"{ref} may take signed commits only, and this cannot be verified here",
            hint="`mvc key list` there tells what is wrong, or [sign] in config.toml is",
        ) from error
    now, names = repo.environment.clock(), signed_refs.names(ref)
    for version in commits:
        verdict = verify(version.commit, trust, now)
        if verdict.status != "good":
            raise NotAllowedError(
                f"{ref} takes signed commits only, and {version.id.hex()[:12]} {_why(verdict)}",
                hint=_ADVICE.get(verdict.status),
            )
        if names is not None and verdict.trusted and verdict.trusted.name not in names:
            raise NotAllowedError(
                f"{ref} takes commits that some keys signed, and {version.id.hex()[:12]} is signed "
                f"by that of {verdict.trusted.name}",
                hint="whoever runs the server says whose count there: sign.keys in config.toml",
            )


def arriving(
    repo: Repository, ref: str, target: ObjectId, read: Callable[[ObjectId], Commit]
) -> Iterator[Version]:
    """Yield the commits that a ref is to get: all that the commit `target` leads to.

    Left out are those that the ref leads to already, or one that takes signatures of the same keys,
    or fewer: they were judged when they came, or were there before signatures were required. `read`
    reads what is not in the repository yet.
    """
    signed_refs = SignedRefs.of(repo)
    refs = repo.refs.all()
    passed = [tip for name, tip in refs.items() if name == ref or signed_refs.judge_as(name, ref)]
    starts = [revisions.peel(repo, tip) for tip in passed]
    seen = {version.id for version in walk(repo, starts)}
    pending = [target]
    while pending:
        item = pending.pop()
        if item not in seen:
            seen.add(item)
            commit = read(item)
            yield Version(item, commit)
            pending.extend(commit.parents)


def _fits(signature: Signature, data: bytes) -> bool:
    """Tell whether a signature is one of `data` by its key, in the one form there is of it.

    The library refuses a second half that is not below the order of the group (RFC 8032, 5.1.7).
    """
    keys.require_cryptography()
    from cryptography.exceptions import InvalidSignature
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

    if keys.small_order(signature.key):
        return False
    try:
        Ed25519PublicKey.from_public_bytes(signature.key).verify(signature.value, data)
    except (InvalidSignature, ValueError):
        return False
    return True


def _why(verdict: Verdict) -> str:
    name = verdict.trusted.name if verdict.trusted else ""
    return {
        "unsigned": "is not signed",
        "bad": "has a signature that does not fit it",
        "unknown": "is signed by a key that is not trusted there",
        "revoked": f"is signed by the key of {name}, which was revoked",
        "expired": f"is signed by the key of {name}, which has expired",
    }[verdict.status]


_ADVICE = {
    "unsigned": "`mvc commit -S` signs; `mvc config commit.sign true` signs every commit",
    "unknown": "`mvc key show` prints your key; whoever runs the server adds it: `mvc key trust`",
    "revoked": "`mvc key generate` makes a new key, which the server has to be told",
    "expired": "whoever runs the server says until when it is good: `mvc key trust --expires`",
}
