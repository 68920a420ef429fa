"""Settings, quotas and counters of an HTTP server."""

from __future__ import annotations

import threading
from dataclasses import replace
from pathlib import Path

import pytest

from mvc.base.errors import UsageError
from mvc.sync.grants import Grant
from mvc.sync.metrics import Metrics
from mvc.sync.quota_file import QuotaFile
from mvc.sync.quotas import DAY, ExhaustedError, Quotas
from mvc.sync.server_config import Limits, ServerConfig, Space, read_config
from mvc.sync.tokens import Token

WHOLE = """
host = "0.0.0.0"
port = 9000
tls_cert = "tls/cert.pem"
tls_key = "/etc/key.pem"
hosts = ["Models.example.org"]
trusted_proxies = ["10.0.0.1"]

[limits]
requests = 5
idle_seconds = 7

[space]
quarantine_bytes = 1000
reserve_bytes = 0
"""


def token(name: str = "a", **more: int) -> Token:
    held = frozenset({Grant("read", "refs/")})
    return replace(Token(name * 12, name, "0" * 64, ("**",), held, frozenset(), 0), **more)


def test_settings_are_read_from_a_file_and_paths_are_beside_it(tmp_path: Path) -> None:
    file = tmp_path / "serve.toml"
    file.write_text(WHOLE)
    assert read_config(file) == ServerConfig(
        "0.0.0.0",
        9000,
        tmp_path / "tls/cert.pem",
        Path("/etc/key.pem"),
        ("Models.example.org",),
        ("10.0.0.1",),
        Limits(requests=5, idle_seconds=7),
        Space(quarantine_bytes=1000, reserve_bytes=0),
    )
    assert read_config(file).allowed_hosts() == {"models.example.org"}
    file.write_text("")
    assert read_config(file) == ServerConfig()


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("prot = 1", "prot"),
        ("[limit]\nrequests = 1", "limit"),
        ("[limits]\nrequestss = 1", "limits.requestss"),
        ("limits = 3", "limits"),
        ("port = '80'", "port"),
        ("port = 65536", "65536"),
        ("port = true", "port"),
        ("host = ''", "host"),
        ("hosts = 'a'", "hosts"),
        ("hosts = [1]", "hosts"),
        ("tls_cert = 'a'", "tls_key"),
        ("[limits]\nrequests = 0", "limits.requests"),
        ("[limits]\nrequests = -1", "limits.requests"),
        ("[limits]\nidle_seconds = 1.5", "limits.idle_seconds"),
        ("[space]\npart_bytes = 1", "space.part_bytes"),
        ("[space]\npart_bytes = 999999999", "space.part_bytes"),
        ("x = ", "not TOML"),
        ("\x00", "not TOML"),
    ],
)
def test_what_is_wrong_in_a_file_is_named(tmp_path: Path, text: str, named: str) -> None:
    file = tmp_path / "serve.toml"
    file.write_text(text)
    with pytest.raises(UsageError, match=named):
        read_config(file)


def test_who_listens_to_this_machine_answers_to_its_names() -> None:
    assert ServerConfig().allowed_hosts() == {"127.0.0.1", "localhost", "::1"}
    assert ServerConfig(host="0.0.0.0").allowed_hosts() is None
    assert ServerConfig(trusted_proxies=("127.0.0.1",)).allowed_hosts() is None


class Time:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


def test_requests_a_minute_come_back_little_by_little() -> None:
    time = Time()
    quotas = Quotas(Limits(), Space(), time)
    asker = token(requests_per_minute=6)
    for _ in range(6):
        quotas.request(asker)
    with pytest.raises(ExhaustedError) as caught:
        quotas.request(asker)
    assert (caught.value.code, caught.value.after) == ("quota", 10)
    quotas.request(token("b", requests_per_minute=6))
    time.now += 10
    quotas.request(asker)
    with pytest.raises(ExhaustedError):
        quotas.request(asker)
    time.now += 10_000
    for _ in range(6):
        quotas.request(asker)
    with pytest.raises(ExhaustedError):
        quotas.request(asker)


def test_bytes_are_those_of_a_day() -> None:
    time = Time()
    quotas = Quotas(Limits(), Space(), time)
    asker = token(bytes_per_day=100)
    quotas.request(asker)
    quotas.moved(asker, 99)
    quotas.request(asker)
    quotas.moved(asker, 1)
    time.now += DAY / 2
    with pytest.raises(ExhaustedError) as caught:
        quotas.request(asker)
    assert (caught.value.code, caught.value.after) == ("quota", DAY / 2)
    time.now += DAY / 2
    quotas.request(asker)


def test_one_token_does_not_take_all_places() -> None:
    quotas = Quotas(Limits(requests=3, requests_per_token=2), Space(), Time())
    one, other = token("a"), token("b")
    quotas.enter(one)
    quotas.enter(one)
    with pytest.raises(ExhaustedError, match="at once"):
        quotas.enter(one)
    quotas.enter(other)
    with pytest.raises(ExhaustedError):
        quotas.enter(other)
    assert quotas.running == 3
    quotas.leave(one)
    quotas.enter(other)


def test_parts_of_all_tokens_have_room_together() -> None:
    lying = [70]
    time = Time()
    quotas = Quotas(Limits(), Space(quarantine_bytes=100), time, lambda: lying[0])
    with quotas.room(20):
        assert quotas.arriving == 20
        with pytest.raises(ExhaustedError) as caught, quotas.room(20):
            raise AssertionError
    assert caught.value.code == "busy"
    assert quotas.arriving == 0
    # A refusal lets what lies there be measured again, else that is done once a minute.
    lying[0] = 0
    for _ in range(2):
        with quotas.room(40):
            pass
    with pytest.raises(ExhaustedError), quotas.room(40):
        raise AssertionError


def test_quotas_hold_between_threads() -> None:
    quotas = Quotas(Limits(), Space(), Time())
    asker = token(requests_per_minute=500, bytes_per_day=1 << 40)
    passed = []

    def ask() -> None:
        for _ in range(100):
            try:
                quotas.request(asker)
            except ExhaustedError:
                continue
            passed.append(1)

    threads = [threading.Thread(target=ask) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(passed) == 500


def test_counters_are_text_for_prometheus() -> None:
    metrics = Metrics()
    metrics.answered("refs", 200, None, 0.004, 10, 20)
    metrics.answered("part", 429, "quota", 0.3, 5, 6)
    text = metrics.text({"requests_running": 3})
    assert 'mvc_requests_total{verb="part",status="429"} 1\n' in text
    assert 'mvc_refusals_total{code="quota"} 1\n' in text
    assert 'mvc_bytes_total{direction="in"} 15\n' in text
    assert 'mvc_request_seconds_bucket{verb="part",le="0.1"} 0\n' in text
    assert 'mvc_request_seconds_bucket{verb="part",le="0.5"} 1\n' in text
    assert 'mvc_request_seconds_bucket{verb="part",le="+Inf"} 1\n' in text
    assert text.endswith("mvc_requests_running 3\n")
    for line in text.splitlines():
        assert line.startswith("# ") or len(line.rsplit(" ", 1)) == 2


def test_bytes_of_a_day_outlive_the_server(tmp_path: Path) -> None:
    time = Time()

    def started() -> Quotas:
        return Quotas(Limits(), Space(), Time(), kept=QuotaFile(tmp_path), wall=time)

    asker, other = token(bytes_per_day=1 << 30), token("b", bytes_per_day=100)
    first = started()
    first.moved(asker, (1 << 30) - (40 << 20))
    first.moved(other, 99)
    first.close()
    second = started()
    second.request(other)
    second.moved(other, 1)
    second.close()
    third = started()
    with pytest.raises(ExhaustedError) as caught:
        third.request(other)
    assert caught.value.after == 86400
    time.now += 1000
    third.request(asker)
    third.moved(asker, 30 << 20)
    # Killed: what was written before may be more than what was used, and never less.
    killed = started()
    with pytest.raises(ExhaustedError) as caught:
        killed.request(asker)
    assert caught.value.after == 85400
    time.now += 86400
    killed.request(asker)
    killed.moved(asker, 5)
    killed.close()
    assert QuotaFile(tmp_path).load() == {"a" * 12: (time.now, 5)}


def test_a_kill_costs_a_token_no_more_than_a_step(tmp_path: Path) -> None:
    asker = token(bytes_per_day=64 << 20)
    for _ in range(30):
        quotas = Quotas(Limits(), Space(), Time(), kept=QuotaFile(tmp_path))
        quotas.request(asker)
        quotas.moved(asker, 1 << 20)
    spent = QuotaFile(tmp_path).load()["a" * 12][1]
    assert 30 << 20 <= spent <= 61 << 20


@pytest.mark.parametrize(
    "text", ["", "{", "[]", '{"version": 2, "tokens": {}}', '{"version": 1, "tokens": {"a": [1]}}']
)
def test_a_file_of_quotas_that_is_not_understood_counts_nothing(tmp_path: Path, text: str) -> None:
    (tmp_path / "quotas.json").write_text(text)
    quotas = Quotas(Limits(), Space(), Time(), kept=QuotaFile(tmp_path))
    quotas.request(token(bytes_per_day=100))


def test_a_day_by_a_clock_that_was_wrong_is_over(tmp_path: Path) -> None:
    time = Time()
    QuotaFile(tmp_path).save({"a" * 12: (time.now + 1e6, 1000)})
    quotas = Quotas(Limits(), Space(), Time(), kept=QuotaFile(tmp_path), wall=time)
    quotas.request(token(bytes_per_day=100))
