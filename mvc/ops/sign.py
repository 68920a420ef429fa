"""Sign the files of a version for other programs: an OpenSSF Model Signing bundle, version 1.

The bundle is a Sigstore bundle of JSON: a DSSE envelope around an in-toto statement that lists
every file with its SHA-256. `model_signing verify key` of the reference implementation accepts it
for a folder that `mvc export` wrote (docs/signing.md).
"""

from __future__ import annotations

import base64
import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mvc.base import fileio
from mvc.base.errors import NegativeAnswer, UsageError
from mvc.base.ids import ObjectId
from mvc.base.progress import SILENT, Progress
from mvc.objects.tree import Entry
from mvc.repo import keys, revisions, trees
from mvc.repo.names import split_path
from mvc.repo.repository import Repository
from mvc.repo.restore import write_file

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey

BUNDLE_TYPE = "application/vnd.dev.sigstore.bundle.v0.3+json"
PAYLOAD_TYPE = "application/vnd.in-toto+json"
STATEMENT_TYPE = "https://in-toto.io/Statement/v1"
PREDICATE_TYPE = "https://model_signing/signature/v1.0"
# The reference verifier leaves these out of what it hashes, so nothing can be said of them.
LEFT_OUT = (".git", ".gitattributes", ".github", ".gitignore")


@dataclass(frozen=True, slots=True)
class Signed:
    """A bundle that was written: of which version, how many files, which are not covered."""

    commit: ObjectId
    files: int
    left_out: tuple[str, ...]
    key: str


def sign(
    repo: Repository,
    revision: str,
    target: Path,
    *,
    key: str | None = None,
    progress: Progress = SILENT,
) -> Signed:
    """Write a bundle for the files of `REV`, or of those below `REV:PATH`, to a new file.

    Every file is rebuilt and hashed first: what is signed is what an export writes, not what
    metadata says. Raises IntegrityError where the two differ, NegativeAnswer where there is
    nothing to sign or the target exists.
    """
    name = key or repo.config.text("sign.key") or keys.DEFAULT_NAMES["p256"]
    private = _key(repo, name)
    if fileio.lexists(target):
        raise NegativeAnswer(f"{target} exists already", hint="sign into a new file")
    found = revisions.find(repo, revision)
    files = _files(repo, found)
    covered = {path: entry for path, entry in files.items() if not _is_left_out(path)}
    if not covered:
        raise NegativeAnswer(f"{revision[:80]} has no files to sign")
    digests = _hashed(repo, covered, progress)
    statement = json.dumps(statement_of(found.commit.hex(), digests)).encode()
    bundle = json.dumps(bundle_of(statement, private), indent=2) + "\n"
    fileio.write_file(target, bundle.encode(), target.parent)
    return Signed(found.commit, len(covered), tuple(sorted(files.keys() - covered.keys())), name)


def statement_of(name: str, digests: dict[str, bytes]) -> dict[str, Any]:
    """Return the in-toto statement that files have these SHA-256s."""
    # By their parts, as the reference does, so that equal folders have equal digests.
    ordered = dict(sorted(digests.items(), key=lambda item: item[0].split("/")))
    whole = hashlib.sha256(b"".join(ordered.values())).hexdigest()
    return {
        "_type": STATEMENT_TYPE,
        "subject": [{"name": name, "digest": {"sha256": whole}}],
        "predicateType": PREDICATE_TYPE,
        "predicate": {
            "serialization": {
                "method": "files",
                "hash_type": "sha256",
                "allow_symlinks": False,
                "ignore_paths": list(LEFT_OUT),
            },
            "resources": [
                {"name": path, "algorithm": "sha256", "digest": digest.hex()}
                for path, digest in ordered.items()
            ],
        },
    }


def bundle_of(statement: bytes, private: EllipticCurvePrivateKey) -> dict[str, Any]:
    """Return a Sigstore bundle around a statement, signed with an elliptic curve key."""
    from cryptography.hazmat.primitives import hashes
    from cryptography.hazmat.primitives.asymmetric import ec

    by_size = {256: hashes.SHA256(), 384: hashes.SHA384(), 521: hashes.SHA512()}
    algorithm = ec.ECDSA(by_size[private.curve.key_size])
    signature = private.sign(pre_authentication(statement), algorithm)
    return {
        "mediaType": BUNDLE_TYPE,
        "verificationMaterial": {
            "publicKey": {"hint": hashlib.sha256(keys.public_pem(private)).hexdigest()},
            "tlogEntries": [],
        },
        "dsseEnvelope": {
            "payload": _text(statement),
            "payloadType": PAYLOAD_TYPE,
            "signatures": [{"sig": _text(signature), "keyid": ""}],
        },
    }


def pre_authentication(payload: bytes) -> bytes:
    """Return the bytes that DSSE signs for a payload."""
    return b"DSSEv1 %d %s %d %s" % (
        len(PAYLOAD_TYPE),
        PAYLOAD_TYPE.encode(),
        len(payload),
        payload,
    )


def _key(repo: Repository, name: str) -> EllipticCurvePrivateKey:
    keys.require_cryptography()
    from cryptography.hazmat.primitives.asymmetric import ec

    user = repo.environment.user_config
    if user is None:
        raise UsageError("there is no home folder that could hold keys of your own")
    private = keys.load(user.parent / keys.FOLDER, name)
    if not isinstance(private, ec.EllipticCurvePrivateKey) or not isinstance(
        private.curve, ec.SECP256R1 | ec.SECP384R1 | ec.SECP521R1
    ):
        raise UsageError(
            f"bundles are signed with a key of a NIST curve, and {name} is none",
            hint="`mvc key generate --type p256` makes one",
        )
    return private


def _files(repo: Repository, found: revisions.Found) -> dict[str, Entry]:
    if found.entry.kind == "tree":
        return trees.files(repo.store, found.entry.id)
    split_path(found.entry.name)
    return {found.entry.name: found.entry}


def _hashed(repo: Repository, files: dict[str, Entry], progress: Progress) -> dict[str, bytes]:
    progress.start("hashing files", sum(entry.size for entry in files.values()))
    digests = {
        path: write_file(repo.store, entry, lambda _: None, progress)
        for path, entry in files.items()
    }
    progress.finish()
    return digests


def _is_left_out(path: str) -> bool:
    return path.split("/", 1)[0] in LEFT_OUT


def _text(data: bytes) -> str:
    return base64.b64encode(data).decode()
