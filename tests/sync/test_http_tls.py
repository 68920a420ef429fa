"""HTTPS: certificates count, and what nobody vouches for is not spoken to."""

from __future__ import annotations

import datetime as dt
import socket
from collections.abc import Iterator
from contextlib import suppress
from ipaddress import ip_address
from pathlib import Path

import pytest

from mvc.base.errors import NetworkError, UsageError
from mvc.sync.link import FutileError
from mvc.sync.messages import PartRequest, RefsRequest
from mvc.sync.server_config import ServerConfig
from tests.sync.http_world import ALL, MIB, NAME, REFS, HttpWorld, running

x509 = pytest.importorskip("cryptography.x509")


def certificate(folder: Path, name: str, days: int = 1) -> tuple[Path, Path]:
    """Write a certificate of its own for a name and this machine."""
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.generate_private_key(ec.SECP256R1())
    called = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
    now = dt.datetime.now(dt.UTC)
    names: list[object] = [x509.DNSName(name)]
    if name == "localhost":
        names.append(x509.IPAddress(ip_address("127.0.0.1")))
    made = (
        x509.CertificateBuilder()
        .subject_name(called)
        .issuer_name(called)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(days=9))
        .not_valid_after(now + dt.timedelta(days=days))
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    pem, encoding = serialization.PrivateFormat.PKCS8, serialization.Encoding.PEM
    files = folder / f"{name}{days}.crt", folder / f"{name}{days}.key"
    files[0].write_bytes(made.public_bytes(encoding))
    files[1].write_bytes(key.private_bytes(encoding, pem, serialization.NoEncryption()))
    return files


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("certificates")


@pytest.fixture(scope="module")
def world(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[HttpWorld]:
    cert, key = certificate(folder, "localhost")
    config = ServerConfig(port=0, tls_cert=cert, tls_key=key)
    with running(tmp_path_factory.mktemp("root"), config=config) as found:
        yield found


def test_requests_go_over_a_certificate_that_is_trusted(world: HttpWorld, folder: Path) -> None:
    assert world.server.address.startswith("https://127.0.0.1:")
    link = world.link(world.token(*ALL), authorities=folder / "localhost1.crt")
    assert link.ask(RefsRequest(())).reply == REFS
    link.ask(PartRequest(NAME, 3 * MIB, 0), [bytes(3 * MIB)])
    assert link.ask(RefsRequest(())).reply == REFS
    link.close()


def test_a_certificate_that_nobody_vouches_for_is_refused(world: HttpWorld, folder: Path) -> None:
    for authorities in (None, certificate(folder, "elsewhere.example")[0]):
        link = world.link("secret", authorities=authorities)
        with pytest.raises(FutileError, match="certificate of https") as caught:
            link.ask(RefsRequest(()))
        assert caught.value.message.isprintable()
    assert not [line for line in world.lines if "/refs" in line and '"who": null' in line]


@pytest.mark.parametrize(("name", "days"), [("elsewhere.example", 1), ("localhost", -3)])
def test_a_certificate_for_another_name_or_time_is_refused(
    folder: Path, tmp_path: Path, name: str, days: int
) -> None:
    cert, key = certificate(folder, name, days)
    with running(tmp_path, config=ServerConfig(port=0, tls_cert=cert, tls_key=key)) as world:
        link = world.link(world.token(*ALL), authorities=cert)
        with pytest.raises(FutileError, match="certificate"):
            link.ask(RefsRequest(()))


def test_a_server_of_tls_does_not_speak_without(world: HttpWorld) -> None:
    with socket.create_connection(("127.0.0.1", world.port)) as peer:
        peer.sendall(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n")
        with suppress(ConnectionResetError):
            assert b"HTTP" not in peer.recv(100)


def test_a_server_without_tls_is_not_spoken_to_with(tmp_path: Path) -> None:
    from mvc.sync.address import HttpAddress
    from mvc.sync.http_link import HttpLink, HttpSettings

    with running(tmp_path) as world:
        link = HttpLink(HttpAddress("https", "127.0.0.1", "/fleet", world.port), HttpSettings("t"))
        with pytest.raises(NetworkError):
            link.ask(RefsRequest(()))


def test_a_certificate_that_cannot_be_used_is_told_before_anything_is_served(
    folder: Path, tmp_path: Path
) -> None:
    cert, _ = certificate(folder, "localhost")
    _, other = certificate(folder, "elsewhere.example")
    for key in (other, tmp_path / "missing", cert):
        config = ServerConfig(port=0, tls_cert=cert, tls_key=key)
        with pytest.raises(UsageError, match="cannot be used"), running(tmp_path, config=config):
            raise AssertionError
