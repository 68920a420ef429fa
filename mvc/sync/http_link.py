"""The carrier for HTTP (docs/protocol.md, "HTTP"): one connection to one origin, no redirects."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cache
from ipaddress import ip_address
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from mvc.base.errors import (
    FormatError,
    MvcError,
    NetworkError,
    NotAllowedError,
    UsageError,
)
from mvc.sync.address import HttpAddress
from mvc.sync.frames import CutOffError, frames, read_message
from mvc.sync.http_refusal import STATUSES, TYPE
from mvc.sync.link import Answer, FutileError, LaterError, UnreachableError, refused
from mvc.sync.messages import Refusal, Request, decode_reply, encode_request
from mvc.sync.pace import LEAST_RATE, WINDOW_SECONDS, Pace, Paced, SlowError

if TYPE_CHECKING:
    from http.client import HTTPResponse

    from urllib3.connection import HTTPConnection

SENT_AT_ONCE = 1 << 16
_SECONDS = re.compile("[0-9]{1,9}", re.ASCII)
_AWAY = (408, 425, 429, 500, 502, 503, 504)


@dataclass(frozen=True, slots=True)
class HttpSettings:
    """How a server is reached.

    `token` goes to `token_origin` alone (None: wherever the address leads), and unencrypted to
    this machine only, unless `plain_token`. `authorities` is a file of certificates to trust
    instead of the system's. `proxies` are URLs by scheme, and `no` lists hosts without any.
    `least_rate` is how many bytes a second the server sends or takes at least, on the average of
    `slow_seconds` of waiting for it.
    """

    token: str | None = None
    token_origin: str | None = None
    plain_token: bool = False
    authorities: Path | None = None
    proxies: Mapping[str, str] = field(default_factory=dict)
    connect_seconds: float = 10.0
    idle_seconds: float = 60.0
    least_rate: float = LEAST_RATE
    slow_seconds: float = WINDOW_SECONDS


class HttpLink:
    """A link to a repository of an HTTP server.

    Raises NotAllowedError where the token must not go there, UsageError where it is no token.
    """

    def __init__(self, address: HttpAddress, settings: HttpSettings | None = None) -> None:
        self._address = address
        self._settings = settings or HttpSettings()
        self._local = _is_loopback(address.host)
        self._token = self._checked_token()
        self._connection: HTTPConnection | None = None
        self._response: Any = None
        self._half_sent = False

    def ask(self, request: Request, body: Iterable[bytes] = ()) -> Answer:
        """See Link."""
        message = encode_request(request)
        pace = Pace(self._settings.least_rate, self._settings.slow_seconds)
        response = self._sent(request.VERB, message, body, pace)
        try:
            self._check(response)
            reading = Paced(_Reading(response), pace)
            data, rest = read_message(reading)
            reading.active = True
            reply = decode_reply(data, type(request))
            # The end of a reply without a body is read at once: the connection is free again.
            first = next(rest, None)
            if first is None:
                self._finish(response)
            elif isinstance(reply, Refusal):
                raise FormatError("a refusal has no body")
        except MvcError as error:
            self.close()
            raise self._shown(error) from error
        except EOFError:
            self.close()
            raise NetworkError(f"{self._name} answered with nothing") from None
        if isinstance(reply, Refusal):
            raise _later(refused(reply), response)
        return Answer(reply, iter(()) if first is None else self._body(response, first, rest))

    def close(self) -> None:
        """See Link."""
        for held in (self._response, self._connection):
            # A response keeps a socket open that its connection has closed.
            if held is not None:
                with suppress(OSError):
                    held.close()
        self._response, self._connection = None, None

    @property
    def _name(self) -> str:
        return self._address.origin

    def _checked_token(self) -> str | None:
        token, wanted = self._settings.token, self._settings.token_origin
        if token is None:
            return None
        if not token.isascii() or not token.isprintable() or " " in token or not token:
            raise UsageError("the token has characters that no token has")
        if wanted is not None and wanted != self._address.origin:
            raise NotAllowedError(
                f"the token is for {wanted}, not for {self._address.origin}",
                hint="`mvc token create` at that server makes one for it",
            )
        if self._address.scheme != "https" and not self._local and not self._settings.plain_token:
            raise NotAllowedError(
                f"a token is not sent unencrypted to {self._address.host}",
                hint="use an https:// address",
            )
        return token

    def _headers(self, length: int | None) -> dict[str, str]:
        found = {"Content-Type": TYPE, "Accept": TYPE, "Accept-Encoding": "identity"}
        found["User-Agent"] = "mvc"
        if self._token is not None:
            found["Authorization"] = f"Bearer {self._token}"
        if length is not None:
            found["Content-Length"] = str(length)
        return found

    def _sent(self, verb: str, message: bytes, body: Iterable[bytes], pace: Pace) -> Any:
        """Send a request and return the response, whatever it is."""
        from urllib3.exceptions import HTTPError

        path = f"{self._address.path}/-/mvc/{verb}"
        if body == ():
            data: Any = b"".join(frames(message))
            headers = self._headers(len(data))
        else:
            data = pace.passing(_pieces(frames(message, body)))
            headers = self._headers(None)
        try:
            connection = self._open()
            self._half_sent = True
            with suppress(BrokenPipeError, ConnectionResetError):
                # A server that refuses may not want the rest; what it said comes next.
                connection.request(
                    "POST",
                    self._proxied(path),
                    body=data,
                    headers=headers,
                    chunked=body != (),
                    preload_content=False,
                    decode_content=False,
                )
                self._half_sent = False
            self._response = connection.getresponse()
            return self._response
        except (HTTPError, OSError, _http_exception()) as error:
            self.close()
            raise self._failed(error) from error
        except BaseException:
            # The body could not be read: half a request has gone out.
            self.close()
            raise

    def _open(self) -> HTTPConnection:
        """Return the connection, made anew where the server has closed the last one."""
        if self._connection is not None and not self._connection.is_connected:
            self.close()
        if self._connection is None:
            made = self._new()
            self._connection = made
            made.connect()
            if made.sock is not None:
                # Else a piece of a body would have to pass in the time for connecting.
                made.sock.settimeout(self._settings.idle_seconds)
            made.timeout = self._settings.idle_seconds
        return self._connection

    def _new(self) -> HTTPConnection:
        from urllib3.connection import HTTPConnection, HTTPSConnection

        proxy = self._proxy()
        secure = self._address.scheme == "https"
        own = self._address.port or (443 if secure else 80)
        host, port = proxy or (self._address.host, own)
        seconds = self._settings.connect_seconds
        if not secure:
            plain = HTTPConnection(host, port, timeout=seconds)
            plain.response_class = _strict_response()
            return plain
        authorities = self._settings.authorities
        made = HTTPSConnection(
            host,
            port,
            timeout=seconds,
            cert_reqs="CERT_REQUIRED",
            ca_certs=None if authorities is None else str(authorities),
        )
        made.response_class = _strict_response()
        if proxy is not None:
            made.set_tunnel(self._address.host, own)
        return made

    def _proxy(self) -> tuple[str, int] | None:
        """Return host and port of the proxy; there is none on the way to this machine."""
        url = self._settings.proxies.get(self._address.scheme)
        if not url or self._local or self._spared():
            return None
        try:
            found = urlsplit(url)
            host, port = found.hostname, found.port
        except ValueError:
            host, port = None, None
        if host is None or found.scheme != "http" or found.username is not None:
            raise UsageError("the proxy is not an http://HOST:PORT address")
        return host, port or 80

    def _spared(self) -> bool:
        """Tell whether the host is one of those that no proxy is for."""
        host = self._address.host.lower()
        names = self._settings.proxies.get("no", "").lower().replace(" ", "").split(",")
        bare = [name.lstrip(".") for name in names if name]
        return any(name in ("*", host) or host.endswith(f".{name}") for name in bare)

    def _proxied(self, path: str) -> str:
        """Return what stands in the first line of a request."""
        plain = self._address.scheme == "http" and self._proxy() is not None
        return f"{self._address.origin}{path}" if plain else path

    def _check(self, response: Any) -> None:
        """Refuse what is not of this protocol, such as the page of a captive portal."""
        kind = response.headers.get("Content-Type", "")
        encoded = response.headers.get("Content-Encoding", "identity")
        known = response.status == 200 or response.status in {*STATUSES.values(), 403, 408}
        if kind == TYPE and encoded == "identity" and known:
            return
        self.close()
        what = "a redirect" if 300 <= response.status < 400 else "something else"
        # A proxy says that the server behind it is away for a moment; all else stays so.
        kind_of = NetworkError if response.status in _AWAY else FutileError
        error = kind_of(
            f"{self._name} answered with {what} (HTTP {response.status}), not as an mvc server",
            hint="check the address; a proxy, or a network that wants a login, may be in the way",
        )
        raise _later(error, response)

    def _body(self, response: Any, first: bytes, rest: Iterator[bytes]) -> Iterator[bytes]:
        whole = False
        try:
            yield first
            yield from rest
            self._finish(response)
            whole = True
        except MvcError as error:
            raise self._shown(error) from error
        finally:
            if not whole:
                self.close()

    def _finish(self, response: Any) -> None:
        """Read the end of a response, behind which the next one starts."""
        if _Reading(response)(1):
            raise FormatError(f"{self._name} said more than it should")
        if self._half_sent:
            self.close()

    def _shown(self, error: MvcError) -> MvcError:
        if isinstance(error, SlowError):
            return NetworkError(f"{self._name} is too slow: {error.message}")
        if isinstance(error, CutOffError):
            return NetworkError(f"the connection to {self._name} was cut off")
        return error

    def _failed(self, error: Exception) -> MvcError:
        """Return what to tell of a connection that failed."""
        import ssl

        from urllib3.exceptions import (
            ConnectTimeoutError,
            NameResolutionError,
            NewConnectionError,
            ReadTimeoutError,
        )

        cause = error.__cause__ if isinstance(error.__cause__, ssl.SSLError) else error
        if isinstance(cause, ssl.SSLError) or "certificate" in str(error).lower():
            reason = getattr(cause, "verify_message", "") or getattr(cause, "reason", "")
            return FutileError(
                f"the certificate of {self._name} is not trusted: {str(reason or cause)[:200]}",
                hint="check the clock of this machine, and who issued the certificate",
            )
        if isinstance(error, NameResolutionError):
            return UnreachableError(f"there is no host {self._address.host}")
        if isinstance(error, NewConnectionError) and isinstance(error.__cause__, OSError):
            error = error.__cause__
        elif isinstance(error, ConnectTimeoutError | ReadTimeoutError | TimeoutError):
            return UnreachableError(f"{self._name} does not answer")
        reason = getattr(error, "strerror", None) or type(error).__name__
        return UnreachableError(f"cannot reach {self._name}: {str(reason)[:200]}")


def _later(error: MvcError, response: Any) -> MvcError:
    """Return an error with the pause that the server asks for, if it asks for one in seconds."""
    after = response.headers.get("Retry-After", "")
    again = isinstance(error, NetworkError) and not isinstance(error, FutileError)
    if isinstance(error, NetworkError) and again and _SECONDS.fullmatch(after):
        return LaterError(error, float(after))
    return error


class _Reading:
    """Reads a response; that it breaks off is an error of the network."""

    def __init__(self, response: Any) -> None:
        self._response = response

    def __call__(self, most: int) -> bytes:
        from urllib3.exceptions import HTTPError

        try:
            return bytes(self._response.read1(most))
        except (HTTPError, OSError, ValueError, _http_exception()) as error:
            raise NetworkError("the connection to the server was cut off") from error


def _http_exception() -> type[Exception]:
    from http.client import HTTPException

    return HTTPException


@cache
def _strict_response() -> type[HTTPResponse]:
    """Return responses that have no chunks of negative length, which would be read to the end."""
    from http.client import HTTPException, HTTPResponse

    class StrictResponse(HTTPResponse):
        def _read_next_chunk_size(self) -> int:
            found: int = super()._read_next_chunk_size()  # type: ignore[misc]
            if found < 0:
                raise HTTPException("a chunk of negative length")
            return found

    return StrictResponse


def _pieces(parts: Iterable[bytes]) -> Iterator[bytes]:
    """Join what is small and cut what is large, so that each piece passes in the idle time."""
    held = b""
    for part in parts:
        held += part if len(part) < SENT_AT_ONCE else b""
        if len(held) >= SENT_AT_ONCE or len(part) >= SENT_AT_ONCE:
            if held:
                yield held
            held = b""
            if len(part) >= SENT_AT_ONCE:
                for at in range(0, len(part), SENT_AT_ONCE):
                    yield part[at : at + SENT_AT_ONCE]
    if held:
        yield held


def _is_loopback(host: str) -> bool:
    if host.lower() == "localhost":
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False
