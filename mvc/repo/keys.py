"""Keys of one's own, in the user's folder and never in a repository (docs/signing.md).

keys/NAME.pem   a private key in PKCS #8, not encrypted, that its owner alone can read

`ed25519` keys sign commits. Bundles for other programs need a `p256` key, because the reference
verifier of OpenSSF Model Signing takes keys of NIST curves alone. cryptography is imported when a
key is used, not before: it is an extra.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal, TypeAlias

from mvc.base import fileio
from mvc.base.errors import FormatError, NegativeAnswer, NotAllowedError, NotFoundError, UsageError

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    PrivateKey: TypeAlias = Ed25519PrivateKey | EllipticCurvePrivateKey

Kind = Literal["ed25519", "p256"]
DEFAULT_NAMES: dict[Kind, str] = {"ed25519": "default", "p256": "bundle"}
_GENERATE = {"default": "`mvc key generate`", "bundle": "`mvc key generate --type p256`"}
FOLDER = "keys"
MAX_KEY_FILE = 1 << 16

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._@+-]{0,63}", re.ASCII)
_HEX = re.compile(r"[0-9a-fA-F]{64}", re.ASCII)
# Without the bit that is the sign of x: keys under which one signature fits many messages.
_SMALL_ORDER = frozenset(
    bytes.fromhex(text)
    for text in (
        "00" * 32,
        "01" + "00" * 31,
        "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05",
        "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a",
        "ec" + "ff" * 30 + "7f",
        "ed" + "ff" * 30 + "7f",
        "ee" + "ff" * 30 + "7f",
    )
)


@dataclass(frozen=True, slots=True)
class OwnKey:
    """A key of one's own, as others may know it.

    `public` is the public key of an `ed25519` key in hex, and of others the SHA-256 of `pem`.
    """

    name: str
    kind: Kind
    public: str
    pem: str
    path: Path


def generate(folder: Path, name: str, kind: Kind) -> OwnKey:
    """Make a key. Raises NegativeAnswer where the name is taken: no key is ever overwritten."""
    require_cryptography()
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric import ec, ed25519

    path = _path(folder, name)
    key: PrivateKey = (
        ed25519.Ed25519PrivateKey.generate()
        if kind == "ed25519"
        else ec.generate_private_key(ec.SECP256R1())
    )
    data = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    staged = fileio.StagedFile(folder, private=True)
    try:
        staged.write(data)
        if not fileio.publish_new(staged.seal(), path):
            raise NegativeAnswer(
                f"there is a key {name} already", hint="`mvc key generate --name OTHER`"
            )
    finally:
        staged.discard()
    return _described(name, key, path)


def load(folder: Path, name: str) -> PrivateKey:
    """Return a private key. Raises NotAllowedError where others could have read it, too."""
    require_cryptography()
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    path = _path(folder, name)
    try:
        data = fileio.read_bytes(path, MAX_KEY_FILE)
    except NotFoundError:
        raise NotFoundError(
            f"you have no key {name}", hint=_GENERATE.get(name, f"`mvc key generate --name {name}`")
        ) from None
    if not fileio.is_private(path):
        raise NotAllowedError(
            f"others than you can reach the key {path}",
            hint=f"chmod 600 {path}, or make a new one if somebody may have read it",
        )
    try:
        key = load_pem_private_key(data, None)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        raise FormatError(
            f"{path} is no private key in PEM without a password", hint="`mvc key generate`"
        ) from None
    if not isinstance(key, Ed25519PrivateKey | EllipticCurvePrivateKey):
        raise FormatError(f"{path} is a key of a kind that signs nothing here")
    return key


def signing_key(folder: Path, name: str) -> Ed25519PrivateKey:
    """Return a key for commits; UsageError where it is one for bundles."""
    require_cryptography()
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    key = load(folder, name)
    if not isinstance(key, Ed25519PrivateKey):
        raise UsageError(
            f"commits are signed with an Ed25519 key, and {name} is none",
            hint="`mvc key list` shows what your keys are for",
        )
    return key


def own(folder: Path) -> list[OwnKey]:
    """Return all keys of one's own, by name."""
    files = [Path(name) for name in fileio.names(folder) if name.endswith(".pem")]
    names = [file.stem for file in files if _NAME.fullmatch(file.stem)]
    return [described(folder, name) for name in names]


def described(folder: Path, name: str) -> OwnKey:
    """Return a key of one's own as others may know it."""
    return _described(name, load(folder, name), _path(folder, name))


def parse_public(text: str) -> bytes:
    """Return the Ed25519 public key of 64 hex digits or PEM. Raises FormatError."""
    text = text.strip()
    if _HEX.fullmatch(text):
        return check_public(bytes.fromhex(text))
    if "PRIVATE KEY" in text:
        raise FormatError(
            "that is a private key, which nobody else should have",
            hint="`mvc key show` prints the public one",
        )
    require_cryptography()
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
    from cryptography.hazmat.primitives.serialization import load_pem_public_key

    try:
        key = load_pem_public_key(text.encode())
    except (ValueError, UnsupportedAlgorithm, UnicodeEncodeError):
        raise FormatError("a public key is 64 hex digits, or PEM") from None
    if not isinstance(key, Ed25519PublicKey):
        raise FormatError("commits are signed with Ed25519 keys, and this is another kind")
    return check_public(key.public_bytes_raw())


def check_public(key: bytes) -> bytes:
    """Return an Ed25519 public key, or raise FormatError if no honest one looks like this."""
    if small_order(key):
        raise FormatError("this key would make one signature fit many commits")
    return key


def small_order(key: bytes) -> bool:
    """Tell whether signatures under an Ed25519 public key mean nothing."""
    return key[:31] + bytes([key[31] & 0x7F]) in _SMALL_ORDER


def check_name(name: str) -> str:
    """Return a name that a key may have, or raise UsageError."""
    if not _NAME.fullmatch(name):
        raise UsageError(
            f"{name[:80]!r} is no name for a key", hint="letters, digits and ._@+-, at most 64"
        )
    return name


def require_cryptography() -> None:
    """Raise UsageError where the extra that signatures need is not installed."""
    try:
        import cryptography  # noqa: F401
    except ImportError:
        raise UsageError(
            "signatures need the package cryptography", hint="pip install 'mvc[sign]'"
        ) from None


def public_pem(key: PrivateKey) -> bytes:
    """Return the public half as PEM."""
    from cryptography.hazmat.primitives import serialization

    return key.public_key().public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )


def _described(name: str, key: PrivateKey, path: Path) -> OwnKey:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    pem = public_pem(key)
    if isinstance(key, Ed25519PrivateKey):
        public = key.public_key().public_bytes_raw().hex()
        return OwnKey(name, "ed25519", public, pem.decode(), path)
    return OwnKey(name, "p256", hashlib.sha256(pem).hexdigest(), pem.decode(), path)


def _path(folder: Path, name: str) -> Path:
    return folder / f"{check_name(name)}.pem"
