"""Signatures of commits, and refs that take no others (R50)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mvc.base import fileio
from mvc.base.errors import FormatError, NotAllowedError, UsageError
from mvc.base.ids import ObjectId
from mvc.objects.history import SIGNED, Commit, Signature
from mvc.ops.commit import CommitRequest, commit
from mvc.repo import keys
from mvc.repo.history import Version
from mvc.repo.repository import Environment, Repository
from mvc.repo.signing import arriving, own_key, required, signed, verify
from mvc.repo.trust import Origin, Trust, Trusted, add, revoke
from tests.objects.samples import commits

pytest.importorskip("cryptography")
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

ADA = Ed25519PrivateKey.from_private_bytes(b"\x01" * 32)
EVE = Ed25519PrivateKey.from_private_bytes(b"\x02" * 32)
PUBLIC = ADA.public_key().public_bytes_raw()
ORDER = 2**252 + 27742317777372353535851937790883648493
NOW = 1_700_000_000_000_000
DAY = 86_400_000_000
PLAIN = Commit(ObjectId(bytes(32)), (), "Ada", NOW, "message")
MAIN = "refs/heads/main"


def trusting(**changes: object) -> Trust:
    item = Trusted("ada", PUBLIC, "repository", NOW)
    return Trust({}, (replace(item, **changes),))  # type: ignore[arg-type]


def status(made: Commit, trust: Trust | None = None, at: int | None = None) -> str:
    return verify(made, trust or trusting(), at).status


@given(commits())
def test_a_signed_commit_is_good_and_comes_back_so(made: Commit) -> None:
    again = Commit.decode(signed(made, ADA).encode())
    verdict = verify(again, trusting())
    assert (verdict.status, verdict.key) == ("good", PUBLIC)
    assert verdict.trusted is not None
    assert verdict.trusted.name == "ada"


@given(st.data())
def test_no_changed_byte_leaves_a_signature_good(data: st.DataObject) -> None:
    raw = bytearray(signed(PLAIN, ADA).encode())
    raw[data.draw(st.integers(0, len(raw) - 1))] ^= data.draw(st.integers(1, 255))
    try:
        made = Commit.decode(bytes(raw))
    except FormatError:
        return
    assert status(made) in ("bad", "unsigned")


def test_a_signature_of_another_commit_does_not_fit() -> None:
    other = signed(replace(PLAIN, message="other"), ADA)
    assert status(replace(PLAIN, signature=other.signature)) == "bad"


def test_a_signature_made_for_another_purpose_does_not_fit() -> None:
    for data in (PLAIN.encode(), b"", SIGNED, b"x" + PLAIN.signed_bytes()):
        made = Signature(PUBLIC, ADA.sign(data))
        assert status(replace(PLAIN, signature=made)) == "bad"


def test_a_signature_has_one_form_only() -> None:
    made = signed(PLAIN, ADA).signature
    assert made is not None
    head, scalar = made.value[:32], int.from_bytes(made.value[32:], "little")
    for other in (scalar + ORDER, scalar + 2 * ORDER):
        twin = Signature(PUBLIC, head + other.to_bytes(32, "little"))
        assert status(replace(PLAIN, signature=twin)) == "bad"


def test_a_key_that_fits_everything_is_bad() -> None:
    for key in (b"\x01" + bytes(31), bytes(32), b"\x01" + bytes(30) + b"\x80"):
        made = Signature(key, b"\x01" + bytes(63))
        assert status(replace(PLAIN, signature=made)) == "bad"
    assert status(replace(PLAIN, signature=Signature(b"\x02" * 32, bytes(64)))) == "bad"


def test_who_signed_is_said_by_the_list_alone() -> None:
    made = signed(replace(PLAIN, author="good signature of ada"), EVE)
    assert status(made) == "unknown"
    assert verify(made, trusting()).trusted is None
    assert status(PLAIN) == "unsigned"


def test_a_key_that_has_expired_is_good_for_what_it_signed_before() -> None:
    made = signed(PLAIN, ADA)
    assert status(made, trusting(expires=NOW + DAY)) == "good"
    assert status(made, trusting(expires=NOW)) == "expired"
    assert status(made, trusting(expires=NOW + DAY), NOW + DAY) == "expired"


def test_a_revoked_key_is_good_for_nothing() -> None:
    made = signed(PLAIN, ADA)
    assert status(made, trusting(revoked=NOW + DAY)) == "revoked"
    assert status(made, trusting(revoked=NOW, expires=NOW)) == "revoked"


@pytest.fixture
def repo(tmp_path: Path) -> Iterator[Repository]:
    user = tmp_path / "user"
    environment = Environment(user / "config.toml", "Ada", clock=lambda: NOW)
    made = Repository.init(tmp_path / "w", environment=environment)
    keys.generate(user / keys.FOLDER, "default", "ed25519")
    yield made
    made.close()


def config(repo: Repository, text: str) -> None:
    fileio.write_file(repo.folder / "config.toml", text.encode(), repo.scratch)
    repo.__dict__.pop("config", None)


def trust_own(repo: Repository, origin: Origin = "repository") -> None:
    key = own_key(repo, wanted=True)
    assert key is not None
    public = key.public_key().public_bytes_raw()
    add(Trust.of(repo), "ada", public, NOW - DAY, expires=None, origin=origin)


def save(repo: Repository, message: str, *, sign: bool | None = None) -> ObjectId:
    return commit(repo, CommitRequest(message, allow_empty=True, sign=sign)).id


def push(repo: Repository, target: ObjectId, ref: str = MAIN) -> None:
    required(repo, ref, arriving(repo, ref, target, repo.commit))


def test_commits_are_signed_when_asked_for_or_configured(repo: Repository) -> None:
    assert repo.commit(save(repo, "one")).signature is None
    assert repo.commit(save(repo, "two", sign=True)).signature is not None
    config(repo, "[commit]\nsign = true\n")
    assert repo.commit(save(repo, "three")).signature is not None
    assert repo.commit(save(repo, "four", sign=False)).signature is None


@pytest.mark.parametrize("value", ['"yes"', '"false"', "1", "0"])
def test_a_setting_that_could_mean_either_signs_nothing(repo: Repository, value: str) -> None:
    config(repo, f"[commit]\nsign = {value}\n")
    with pytest.raises(UsageError, match=r"commit\.sign"):
        save(repo, "one")
    assert repo.head_commit() is None


def test_nothing_is_stored_where_there_is_no_key(repo: Repository) -> None:
    config(repo, '[user]\nsigning_key = "other"\n')
    with pytest.raises(Exception, match="no key other"):
        save(repo, "one", sign=True)
    assert repo.head_commit() is None


def require(repo: Repository, *refs: str) -> None:
    config(repo, f"[sign]\nrequired = {list(refs)!r}\n")


def test_a_ref_that_requires_signatures_takes_good_ones_only(repo: Repository) -> None:
    plain = save(repo, "plain")
    repo.refs.update(MAIN, plain, None, repo.change(plain, None, "x"))
    good = save(repo, "good", sign=True)
    repo.refs.update(MAIN, good, None, repo.change(good, None, "x"))
    require(repo, MAIN)
    with pytest.raises(NotAllowedError, match=f"{plain.hex()[:12]} is not signed"):
        push(repo, plain)
    push(repo, plain, "refs/heads/other")
    with pytest.raises(NotAllowedError, match="not trusted"):
        push(repo, good)
    trust_own(repo)
    push(repo, good)
    revoke(Trust.of(repo), "ada", NOW)
    with pytest.raises(NotAllowedError, match="of ada, which was revoked"):
        push(repo, good)


def test_a_key_must_be_good_by_the_clock_of_who_receives(repo: Repository) -> None:
    made = signed(replace(PLAIN, time=NOW - 10 * DAY), ADA)
    version = Version(ObjectId(bytes(32)), made)
    require(repo, MAIN)
    add(Trust.of(repo), "ada", PUBLIC, NOW - 9 * DAY, expires=NOW - DAY, origin="repository")
    assert status(made, Trust.of(repo)) == "good"
    with pytest.raises(NotAllowedError, match="has expired"):
        required(repo, MAIN, [version])
    add(Trust.of(repo), "ada", PUBLIC, NOW, expires=NOW + 1_000_000, origin="repository")
    required(repo, MAIN, [version])


def test_each_commit_that_is_new_to_the_ref_is_judged(repo: Repository) -> None:
    start = save(repo, "before signatures were required")
    require(repo, MAIN, "refs/heads/releases/")
    trust_own(repo)
    push(repo, start)
    hidden = save(repo, "plain")
    top = save(repo, "signed", sign=True)
    repo.refs.update(MAIN, top, start, repo.change(top, start, "x"))
    repo.refs.update("refs/heads/side", None, hidden, repo.change(None, hidden, "x"))
    with pytest.raises(NotAllowedError, match=hidden.hex()[:12]):
        push(repo, top)
    for ref in ("refs/heads/releases/1", "refs/heads/releases/a/b"):
        push(repo, start, ref)
        with pytest.raises(NotAllowedError):
            push(repo, hidden, ref)
    push(repo, hidden, "refs/heads/releases")


@pytest.mark.parametrize(
    "text",
    [
        "[sign]\nrequired = 5\n",
        "[sign]\nrequired = true\n",
        "[sign]\nrequired = ['main']\n",
        "[sign]\nrequired = [5]\n",
        "[sign]\nrequired = \"['refs/heads/main']\"\n",
        "[sign.required]\nmain = true\n",
    ],
)
def test_a_policy_that_is_not_understood_lets_nothing_in(repo: Repository, text: str) -> None:
    made = save(repo, "one", sign=True)
    config(repo, text)
    with pytest.raises(NotAllowedError, match="cannot be verified"):
        push(repo, made)


def test_a_damaged_list_of_keys_lets_nothing_in(repo: Repository) -> None:
    made = save(repo, "one", sign=True)
    repo.refs.update(MAIN, made, None, repo.change(made, None, "x"))
    trust_own(repo)
    require(repo, MAIN)
    push(repo, made)
    fileio.append_line(repo.folder / "trusted.toml", b"[broken")
    with pytest.raises(NotAllowedError, match="cannot be verified"):
        push(repo, made)


def test_only_keys_of_the_repository_itself_let_commits_in(repo: Repository) -> None:
    made = save(repo, "one", sign=True)
    repo.refs.update(MAIN, made, None, repo.change(made, None, "x"))
    require(repo, MAIN)
    trust_own(repo, origin="user")
    assert verify(repo.commit(made), Trust.of(repo)).status == "good"
    with pytest.raises(NotAllowedError, match="not trusted"):
        push(repo, made)
    trust_own(repo)
    push(repo, made)
    user = Trust.of(repo).files["user"].parent
    revoke(Trust.read(None, user), "ada", NOW)
    with pytest.raises(NotAllowedError, match="revoked"):
        push(repo, made)


def test_refs_in_one_text_are_words(repo: Repository) -> None:
    made = save(repo, "one")
    repo.refs.update(MAIN, made, None, repo.change(made, None, "x"))
    config(repo, '[sign]\nrequired = "refs/heads/x refs/heads/main"\n')
    with pytest.raises(NotAllowedError):
        push(repo, made)


def test_nothing_is_let_in_where_nothing_can_be_verified(
    repo: Repository, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = save(repo, "one", sign=True)
    require(repo, MAIN)
    monkeypatch.setitem(__import__("sys").modules, "cryptography", None)
    with pytest.raises(NotAllowedError, match="cannot be verified"):
        push(repo, made)


def test_commits_are_not_looked_at_where_no_signature_is_required(repo: Repository) -> None:
    def never() -> Iterator[Version]:
        raise AssertionError
        yield

    required(repo, MAIN, never())
    require(repo, "refs/heads/other")
    required(repo, MAIN, never())
