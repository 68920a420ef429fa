"""The settings of an HTTP server: a TOML file, every key of it checked."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any

from mvc.base import fileio
from mvc.base.errors import FormatError, UsageError
from mvc.sync.limits import MAX_PART, PART_BYTES
from mvc.sync.pace import LEAST_RATE, WINDOW_SECONDS
from mvc.sync.quarantine import RESERVE_BYTES

PORT = 8417
MAX_CONFIG = 1 << 20


@dataclass(frozen=True, slots=True)
class Limits:
    """How much at once, and how long.

    `requests` run at a time, at most `requests_per_token` of them of one token; the rest is told
    to come again. A request's head must come within `header_seconds`; nobody may be silent for
    `idle_seconds` in the middle of a request, nor take `total_seconds` for one. Who is waited for
    sends and takes at least `least_rate` bytes a second, on the average of `slow_seconds`.
    """

    requests: int = 64
    requests_per_token: int = 48
    connections: int = 1000
    header_bytes: int = 32768
    header_seconds: int = 10
    idle_seconds: int = 60
    least_rate: int = LEAST_RATE
    slow_seconds: int = int(WINDOW_SECONDS)
    total_seconds: int = 3600
    keep_alive_seconds: int = 75
    shutdown_seconds: int = 60


@dataclass(frozen=True, slots=True)
class Space:
    """How much of the disk: quarantines of all tokens, of one in one repository, what stays free.

    `part_bytes` is how large clients are to make parts.
    """

    quarantine_bytes: int = 64 << 30
    quarantine_bytes_per_token: int = 16 << 30
    reserve_bytes: int = RESERVE_BYTES
    part_bytes: int = PART_BYTES


@dataclass(frozen=True, slots=True)
class ServerConfig:
    """All settings. Paths in a file are relative to it.

    `hosts` are the names that requests may have in Host; where there are none, a server that only
    this machine reaches takes the names of this machine, and any other takes all.
    """

    host: str = "127.0.0.1"
    port: int = PORT
    tls_cert: Path | None = None
    tls_key: Path | None = None
    hosts: tuple[str, ...] = ()
    trusted_proxies: tuple[str, ...] = ()
    limits: Limits = field(default_factory=Limits)
    space: Space = field(default_factory=Space)

    def allowed_hosts(self) -> frozenset[str] | None:
        """Return the names that Host may have, None for any."""
        if self.hosts:
            return frozenset(name.lower() for name in self.hosts)
        if self.host in LOOPBACK and not self.trusted_proxies:
            return frozenset(LOOPBACK)
        return None


LOOPBACK = ("127.0.0.1", "localhost", "::1")


def read_config(path: Path) -> ServerConfig:
    """Return the settings of a file, or raise UsageError naming the key that is wrong."""
    try:
        found = tomllib.loads(fileio.read_bytes(path, MAX_CONFIG).decode("utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, FormatError) as error:
        raise UsageError(f"{path} is not TOML: {error}") from error
    nested = {
        name: _section(kind, found.pop(name, {}), f"{name}.")
        for name, kind in (("limits", Limits), ("space", Space))
    }
    config: ServerConfig = _section(ServerConfig, found, "")
    config = replace(
        config,
        tls_cert=config.tls_cert and path.parent / config.tls_cert,
        tls_key=config.tls_key and path.parent / config.tls_key,
        **nested,
    )
    return checked(config)


def checked(config: ServerConfig) -> ServerConfig:
    """Return the settings if they go together, or raise UsageError."""
    if (config.tls_cert is None) != (config.tls_key is None):
        raise UsageError("TLS needs both a certificate and its key: tls_cert and tls_key")
    if not 0 <= config.port <= 65535:
        raise UsageError(f"{config.port} is not a port")
    if not 1 << 16 <= config.space.part_bytes <= MAX_PART:
        raise UsageError(f"space.part_bytes must be from 65536 to {MAX_PART}")
    return config


def _section(kind: type[Any], found: object, prefix: str) -> Any:
    if not isinstance(found, Mapping):
        raise UsageError(f"{prefix[:-1]} is not a section of settings")
    known = {item.name: item.type for item in fields(kind)}
    values = {}
    for key, value in found.items():
        if key not in known:
            raise UsageError(
                f"there is no setting {prefix}{key}", hint="docs/server.md lists them all"
            )
        values[key] = _value(str(known[key]), value, f"{prefix}{key}")
    return kind(**values)


def _value(kind: str, value: object, key: str) -> object:
    if kind == "int" and type(value) is int and 0 <= value < 1 << 62:
        if value or key in ("port", "space.reserve_bytes", "limits.least_rate"):
            return value
    elif kind == "str" and isinstance(value, str) and value:
        return value
    elif kind.startswith("Path") and isinstance(value, str) and value:
        return Path(value)
    elif kind.startswith("tuple") and isinstance(value, list) and _texts(value):
        return tuple(value)
    raise UsageError(f"the setting {key} cannot be {str(value)[:80]!r}")


def _texts(value: list[object]) -> bool:
    return all(isinstance(item, str) and item for item in value)
