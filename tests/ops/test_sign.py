"""Bundles as OpenSSF Model Signing defines them, by its own verifier where it is installed."""

from __future__ import annotations

import base64
import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from mvc.base import fileio
from mvc.base.errors import IntegrityError, NegativeAnswer, NotFoundError, UsageError
from mvc.ops import sign as module
from mvc.ops.add import add
from mvc.ops.commit import CommitRequest, commit
from mvc.ops.export import export
from mvc.ops.sign import Signed, sign, statement_of
from mvc.repo import keys, restore
from mvc.repo.repository import Environment, Repository

pytest.importorskip("cryptography")
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

VERIFIER = shutil.which("model_signing")
FILES = {"a.txt": b"a", "d/b.bin": bytes(range(256)) * 500, "d-c": b"c", "ä.txt": b"name"}
# What model-signing 1.1.1 signs for a folder `refm` with these files of one letter each.
REFERENCE = {
    "_type": "https://in-toto.io/Statement/v1",
    "subject": [
        {
            "name": "refm",
            "digest": {
                "sha256": "3a050f1d08fb8581d3d72ae727651e981043de0d6ca8e744328758f716602beb"
            },
        }
    ],
    "predicateType": "https://model_signing/signature/v1.0",
    "predicate": {
        "serialization": {
            "hash_type": "sha256",
            "allow_symlinks": False,
            "ignore_paths": [".git", ".gitattributes", ".github", ".gitignore"],
            "method": "files",
        },
        "resources": [
            {
                "name": "a.txt",
                "algorithm": "sha256",
                "digest": "ca978112ca1bbdcafac231b39a23dc4da786eff8147c4e72b9807785afee48bb",
            },
            {
                "name": "d/b.bin",
                "algorithm": "sha256",
                "digest": "3e23e8160039594a33894f6564e1b1348bbd7a0088d42c4acb73eeaed59c009d",
            },
            {
                "name": "d-c",
                "algorithm": "sha256",
                "digest": "2e7d2c03a9507ae265ecf5b5356885a53393a2029d241394997265a1a25aefc6",
            },
        ],
    },
}


class Scene:
    """A repository with a version, and a key for bundles."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.keys = folder / "user" / keys.FOLDER
        environment = Environment(folder / "user" / "config.toml", "Ada", clock=lambda: 10**15)
        self.repo = Repository.init(folder / "w", environment=environment)
        self.key = keys.generate(self.keys, "bundle", "p256")
        self.save(FILES)

    def save(self, files: dict[str, bytes]) -> None:
        for name, data in files.items():
            path = self.repo.root / name
            path.parent.mkdir(exist_ok=True, parents=True)
            path.write_bytes(data)
        add(self.repo, [self.repo.root])
        commit(self.repo, CommitRequest("a version"))

    def sign(self, revision: str = "HEAD", **options: Any) -> tuple[Signed, dict[str, Any]]:
        target = self.folder / "model.sig"
        target.unlink(missing_ok=True)
        return sign(self.repo, revision, target, **options), json.loads(target.read_bytes())


@pytest.fixture
def scene(tmp_path: Path) -> Scene:
    return Scene(tmp_path)


def opened(bundle: dict[str, Any], pem: str, algorithm: hashes.HashAlgorithm) -> dict[str, Any]:
    """Verify an envelope as the specification of DSSE says; return the statement."""
    envelope = bundle["dsseEnvelope"]
    body, kind = base64.b64decode(envelope["payload"]), envelope["payloadType"]
    data = f"DSSEv1 {len(kind)} {kind} {len(body)} ".encode() + body
    (signature,) = envelope["signatures"]
    public = serialization.load_pem_public_key(pem.encode())
    assert isinstance(public, ec.EllipticCurvePublicKey)
    public.verify(base64.b64decode(signature["sig"]), data, ec.ECDSA(algorithm))
    statement = json.loads(body)
    assert isinstance(statement, dict)
    return statement


def test_a_statement_is_what_the_reference_signs_for_the_same_files() -> None:
    resources = REFERENCE["predicate"]["resources"]  # type: ignore[index]
    digests = {item["name"]: bytes.fromhex(item["digest"]) for item in reversed(resources)}
    assert statement_of("refm", digests) == REFERENCE


def test_a_bundle_lists_every_file_under_a_signature(scene: Scene) -> None:
    done, bundle = scene.sign()
    assert bundle["mediaType"] == "application/vnd.dev.sigstore.bundle.v0.3+json"
    assert bundle["verificationMaterial"]["publicKey"] == {"hint": scene.key.public}
    statement = opened(bundle, scene.key.pem, hashes.SHA256())
    assert statement["subject"][0]["name"] == done.commit.hex()
    listed = statement["predicate"]["resources"]
    assert [item["name"] for item in listed] == ["a.txt", "d/b.bin", "d-c", "ä.txt"]
    assert done.files == len(listed)
    other = keys.generate(scene.keys, "other", "p256")
    with pytest.raises(InvalidSignature):
        opened(bundle, other.pem, hashes.SHA256())


def test_a_part_of_a_version_can_be_signed(scene: Scene) -> None:
    for revision, names in (("HEAD:d", ["b.bin"]), ("HEAD:d/b.bin", ["b.bin"])):
        _, bundle = scene.sign(revision)
        statement = opened(bundle, scene.key.pem, hashes.SHA256())
        assert [item["name"] for item in statement["predicate"]["resources"]] == names


def test_files_that_verifiers_ignore_are_left_out_and_named(scene: Scene) -> None:
    scene.save({".gitattributes": b"x", ".github/a/b": b"y", "d/.gitignore": b"z"})
    done, bundle = scene.sign()
    assert done.left_out == (".gitattributes", ".github/a/b")
    statement = opened(bundle, scene.key.pem, hashes.SHA256())
    names = [item["name"] for item in statement["predicate"]["resources"]]
    assert "d/.gitignore" in names
    assert done.files == len(names) == 5


def test_what_metadata_claims_is_not_signed_unless_it_is_so(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A file whose recorded SHA-256 is that of another one, as a hostile pusher could make."""
    original = restore.read_blob
    lie = b"\xee" * 32

    def lying(store: Any, wanted: Any) -> Any:
        from dataclasses import replace

        return replace(original(store, wanted), sha256=lie)

    monkeypatch.setattr(restore, "read_blob", lying)
    with pytest.raises(IntegrityError):
        sign(scene.repo, "HEAD", scene.folder / "model.sig")
    assert not (scene.folder / "model.sig").exists()


def test_no_file_is_overwritten(scene: Scene) -> None:
    target = scene.repo.root / "a.txt"
    with pytest.raises(NegativeAnswer, match="exists"):
        sign(scene.repo, "HEAD", target)
    assert target.read_bytes() == b"a"


def test_keys_of_commits_sign_no_bundles(scene: Scene) -> None:
    keys.generate(scene.keys, "ada", "ed25519")
    with pytest.raises(UsageError, match="NIST"):
        scene.sign(key="ada")
    with pytest.raises(NotFoundError, match="no key absent"):
        scene.sign(key="absent")


def test_a_version_without_files_is_not_signed(scene: Scene) -> None:
    for name in FILES:
        (scene.repo.root / name).unlink()
    commit(scene.repo, CommitRequest("empty"))
    with pytest.raises(NegativeAnswer, match="no files"):
        scene.sign()


@pytest.mark.parametrize(
    ("curve", "algorithm"),
    [(ec.SECP384R1(), hashes.SHA384()), (ec.SECP521R1(), hashes.SHA512())],
    ids=["P-384", "P-521"],
)
def test_larger_curves_sign_with_larger_digests(
    scene: Scene, curve: ec.EllipticCurve, algorithm: hashes.HashAlgorithm
) -> None:
    pem = large_key(scene, curve)
    _, bundle = scene.sign(key="large")
    opened(bundle, pem, algorithm)


def large_key(scene: Scene, curve: ec.EllipticCurve) -> str:
    data = ec.generate_private_key(curve).private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    fileio.write_file(scene.keys / "large.pem", data, scene.keys, private=True)
    return keys.described(scene.keys, "large").pem


def test_another_curve_is_refused(scene: Scene) -> None:
    large_key(scene, ec.SECP256K1())
    with pytest.raises(UsageError, match="NIST"):
        scene.sign(key="large")


def reference(scene: Scene, pem: str, folder: Path) -> bool:
    public = scene.folder / "public.pem"
    public.write_text(pem)
    assert VERIFIER is not None
    command = [VERIFIER, "verify", "key", folder, "--public_key", public]
    done = subprocess.run(
        [*command, "--signature", scene.folder / "model.sig"], capture_output=True, check=False
    )
    return done.returncode == 0


@pytest.mark.skipif(VERIFIER is None, reason="pip install model-signing pyOpenSSL")
@pytest.mark.parametrize("curve", [None, ec.SECP384R1(), ec.SECP521R1()])
def test_the_reference_verifier_accepts_an_export_and_nothing_else(
    scene: Scene, curve: ec.EllipticCurve | None
) -> None:
    scene.save({".gitattributes": b"x", "d/.gitignore": b"z"})
    pem = large_key(scene, curve) if curve else scene.key.pem
    scene.sign(key="large" if curve else None)
    out = scene.folder / "out"
    export(scene.repo, "HEAD", out)
    assert reference(scene, pem, out)
    assert not reference(scene, keys.generate(scene.keys, "other", "p256").pem, out)
    assert not reference(scene, keys.generate(scene.keys, "ada", "ed25519").pem, out)
    for path, data in ((out / "a.txt", b"b"), (out / "new", b""), (out / "d-c", None)):
        before = path.read_bytes() if path.exists() else None
        path.unlink(missing_ok=True)
        if data is not None:
            path.write_bytes(data)
        assert not reference(scene, pem, out), path
        path.unlink(missing_ok=True)
        if before is not None:
            path.write_bytes(before)
    assert reference(scene, pem, out)


def test_the_names_of_types_are_those_of_the_specifications() -> None:
    assert module.PAYLOAD_TYPE == "application/vnd.in-toto+json"
    assert module.pre_authentication(b"x") == b"DSSEv1 28 application/vnd.in-toto+json 1 x"
