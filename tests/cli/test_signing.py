from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.cli.console import Console

pytest.importorskip("cryptography")

LOADED = """
import sys
from mvc.cli.main import run
code = run(sys.argv[1:])
print("cryptography" in sys.modules, file=sys.stderr)
sys.exit(code)
"""


def text(mvc: Console, message: str = "one", *options: str) -> str:
    mvc.write("a.txt", message)
    return mvc.commit(message, *options)


def test_verify_commit_says_whose_signature_it_is_and_ends_accordingly(mvc: Console) -> None:
    plain = text(mvc, "plain")
    made = mvc("key", "generate", "--json").json
    signed = text(mvc, "signed", "-S")
    done = mvc("verify-commit", plain, code=1)
    assert done.out == f"{plain[:10]}: not signed\n"
    done = mvc("verify-commit", code=5)
    assert f"not trusted here ({made['public']})" in done.out
    mvc("key", "trust", made["public"], "--name", "ada")
    done = mvc("verify-commit")
    assert done.out == f"{signed[:10]}: good signature of ada (key {made['public']})\n"
    assert mvc("verify-commit", "--json").json == {
        "commit": signed,
        "status": "good",
        "key": made["public"],
        "name": "ada",
    }
    mvc("key", "revoke", "ada")
    assert "was revoked" in mvc("verify-commit", code=5).out


def test_a_damaged_signature_is_bad(mvc: Console, monkeypatch: pytest.MonkeyPatch) -> None:
    from mvc.objects.history import Commit
    from mvc.repo import signing

    def other(commit: Commit, key: signing.Ed25519PrivateKey) -> Commit:
        from dataclasses import replace

        made = original(replace(commit, message="other"), key)
        return replace(commit, signature=made.signature)

    original = signing.signed
    monkeypatch.setattr("mvc.ops.commit.signed", other)
    mvc("key", "generate")
    text(mvc, "one", "-S")
    assert "BAD signature" in mvc("verify-commit", code=6).out
    assert mvc("verify-commit", "--json", code=6).json["status"] == "bad"


def test_an_expired_key_is_good_for_older_versions_with_a_remark(mvc: Console) -> None:
    key = mvc("key", "generate", "--json").json["public"]
    text(mvc, "one", "-S")
    mvc("key", "trust", key, "--name", "ada", "--expires", "2023-11-14T22:30Z")
    for number in range(12):
        text(mvc, str(number), "-S")
    done = mvc("verify-commit", "HEAD~12")
    assert "good signature of ada" in done.out
    assert "note: the key has expired since" in done.err
    assert "after it had expired" in mvc("verify-commit", code=5).out
    (item,) = mvc("key", "list", "--json").json["trusted"]
    assert item["status"] == "expired"


def test_the_log_verifies_each_commit_and_believes_no_text_of_it(mvc: Console) -> None:
    key = mvc("key", "generate", "--json").json["public"]
    fake = f"Signed:  good signature of ada (key {key})"
    text(mvc, f"plain\n\n{fake}", "--label", f"x=1\n{fake}")
    text(mvc, "signed", "-S")
    mvc("key", "trust", key, "--name", "ada")
    lines = mvc("log", "--show-signature").lines
    said = [line for line in lines if line.startswith("Signed:")]
    assert said == [fake, "Signed:  not signed"]
    assert "Signed:" not in mvc("log", "-n1").out
    first, second = mvc("log", "--show-signature", "--json").json
    assert first["signature"] == {"algorithm": "ed25519", "key": key}
    assert first["verified"] == {"status": "good", "key": key, "name": "ada"}
    assert second["signature"] is None
    assert second["verified"]["status"] == "unsigned"
    assert "verified" not in mvc("log", "--json").json[0]


def test_every_commit_is_signed_where_that_is_configured(mvc: Console) -> None:
    mvc("key", "generate", "--name", "work")
    mvc("config", "commit.sign", "true")
    mvc("config", "user.signing_key", "work")
    text(mvc, "one")
    assert mvc("show", "HEAD", "--json").json["signature"]
    text(mvc, "two", "--no-sign")
    assert mvc("show", "HEAD", "--json").json["signature"] is None


def test_signing_without_a_key_stores_nothing_and_names_the_next_step(mvc: Console) -> None:
    mvc.write("a.txt", "a")
    mvc("add", ".")
    done = mvc("commit", "-S", "-m", "one", code=3)
    assert done.err == "error: you have no key default\nhint: `mvc key generate`\n"
    mvc("log", code=3)


def test_private_keys_are_never_printed_nor_in_the_repository(mvc: Console) -> None:
    done = mvc("key", "generate", "--json")
    secret = Path(done.json["path"]).read_bytes().split(b"\n")[1]
    text(mvc, "one", "-S")
    mvc("key", "trust", done.json["public"], "--name", "ada")
    outputs = [done, mvc("key", "show"), mvc("key", "list"), mvc("key", "list", "--json")]
    assert not any(secret.decode() in item.out + item.err for item in outputs)
    for path in mvc.folder.rglob("*"):
        assert not path.is_file() or secret not in path.read_bytes()


def test_a_key_is_trusted_from_a_file_and_everywhere(outside: Console) -> None:
    public = outside("key", "generate", "--json").json["public"]
    outside.write("ada.pem", outside("key", "show").out)
    outside("key", "trust", "ada.pem", "--name", "ada", code=2)
    outside("key", "trust", "--global", "ada.pem", "--name", "ada", "--expires", "90d")
    outside("init")
    text(outside, "one", "-S")
    outside("verify-commit")
    outside("key", "trust", "ada.pem", "--name", "me")
    done = outside("key", "list")
    assert done.lines[0] == f"own      default ed25519 {public}"
    assert done.lines[1] == f"trusted  me ed25519 {public}"
    assert done.lines[2].startswith(f"trusted  ada ed25519 {public} until ")
    assert done.lines[2].endswith("Z (everywhere)")


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (("trust", "nothing.pem", "--name", "ada"), 3),
        (("trust", "00" * 32, "--name", "ada"), 6),
        (("trust", "11" * 32, "--name", "a b"), 2),
        (("trust", "11" * 32), 2),
        (("trust", "11" * 32, "--name", "ada", "--expires", "soon"), 2),
        (("trust", "11" * 32, "--name", "ada", "--expires", "2001-01-01"), 2),
        (("trust", "11" * 32, "--name", "ada", "--expires", "2027-13-41"), 2),
        (("revoke", "ada"), 3),
        (("show", "ada"), 3),
        (("show", "../../x"), 2),
        (("generate", "--name", "../x"), 2),
        (("generate", "--type", "rsa"), 2),
        (("nothing",), 2),
    ],
)
def test_mistakes_are_told_in_a_sentence(
    mvc: Console, arguments: tuple[str, ...], code: int
) -> None:
    done = mvc("key", *arguments, code=code)
    assert done.err.startswith("error: ")
    assert done.out == ""


def test_a_list_that_is_damaged_is_not_worked_with(mvc: Console) -> None:
    mvc("key", "generate")
    text(mvc, "one", "-S")
    (mvc.folder / ".mvc" / "trusted.toml").write_text("[ada")
    for arguments in (["verify-commit"], ["key", "list"], ["key", "revoke", "ada"]):
        assert "trusted.toml" in mvc(*arguments, code=6).err


def test_a_bundle_is_written_and_what_it_leaves_out_is_named(mvc: Console) -> None:
    mvc.write(".gitignore", "x")
    text(mvc)
    assert "--type p256" in mvc("sign", "HEAD", "--bundle", "m.sig", code=3).err
    mvc("key", "generate", "--type", "p256")
    done = mvc("sign", "HEAD", "--bundle", "m.sig")
    assert "1 file of" in done.out
    assert ".gitignore is not covered" in done.err
    assert json.loads((mvc.folder / "m.sig").read_bytes())["dsseEnvelope"]
    mvc("sign", "HEAD", "--bundle", "m.sig", code=1)
    shape = mvc("sign", "HEAD", "--bundle", "n.sig", "--json").json
    assert (shape["files"], shape["left_out"], shape["key"]) == (1, [".gitignore"], "bundle")
    mvc("key", "show", "bundle")


def loads(*arguments: str) -> bool:
    done = subprocess.run(
        [sys.executable, "-c", LOADED, *arguments], capture_output=True, text=True, check=False
    )
    return done.stderr.split()[-1] == "True"


def test_cryptography_is_loaded_by_what_signs_or_verifies_alone(mvc: Console) -> None:
    mvc("key", "generate")
    text(mvc, "one", "-S")
    assert not loads("log")
    assert not loads("show")
    assert not loads("key", "trust", "11" * 32, "--name", "eve")
    assert not loads("commit", "--allow-empty", "-m", "two")
    assert not loads("fsck")
    assert loads("verify-commit", "HEAD~1")
