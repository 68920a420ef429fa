from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from mvc.base.errors import UsageError
from mvc.sync.address import HttpAddress, PathAddress, SshAddress, parse

GOOD = {
    "/srv/models": PathAddress("/srv/models"),
    "../fleet": PathAddress("../fleet"),
    "a folder/x": PathAddress("a folder/x"),
    "./a:b": PathAddress("./a:b"),
    "größe/モデル": PathAddress("größe/モデル"),
    "file:///srv/a b": PathAddress("/srv/a b", url=True),
    "hub:fleet": SshAddress("hub", "fleet"),
    "hub:/srv/fleet": SshAddress("hub", "/srv/fleet"),
    "ada@hub:models/x.mvc": SshAddress("hub", "models/x.mvc", "ada"),
    "ada@[::1]:fleet": SshAddress("::1", "fleet", "ada"),
    "[fe80::2]:/x": SshAddress("fe80::2", "/x"),
    "hub:a:b": SshAddress("hub", "a:b"),
    "ssh://hub/srv/x": SshAddress("hub", "/srv/x", url=True),
    "ssh://ada@hub:2222/x": SshAddress("hub", "/x", "ada", 2222, url=True),
    "ssh://hub:65535/~/x": SshAddress("hub", "x", None, 65535, url=True),
    "ssh://[::1]:1/x": SshAddress("::1", "/x", None, 1, url=True),
    "http://localhost/x": HttpAddress("http", "localhost", "/x"),
    "https://hub.example.org:8443/team/x": HttpAddress("https", "hub.example.org", "/team/x", 8443),
    "https://[2001:db8::1]/x": HttpAddress("https", "2001:db8::1", "/x"),
}

BAD = [
    "",
    " /srv",
    "/srv\r",
    "/srv\n",
    "/s\0rv",
    "/s\x1b[2Jrv",
    "\u202e/srv",
    "\udcff",
    "-x",
    "/" * 5000,
    "file://host/x",
    "file:///a%20b",
    "ftp://hub/x",
    "git://hub/x",
    "HTTPS://hub/x",
    "ext::sh -c id",
    "-oProxyCommand=id:x",
    "ssh://-oProxyCommand=id/x",
    "ssh://-l@hub/x",
    "-l@hub:x",
    "ssh://hub%0a/x",
    "ssh://hub/x%0a",
    "ssh://a b/x",
    "a b:x",
    "ssh://hub:0/x",
    "ssh://hub:-1/x",
    "ssh://hub:65536/x",
    "ssh://hub:022/x",
    "ssh://hub:+22/x",
    "ssh://hub:2_2/x",
    "ssh://hub:\u0663/x",
    "ssh://hub:/x",
    "ssh://hub",
    "ssh:///x",
    "ssh://hub/~/",
    "ssh://hub/~//x",
    "ssh://hub/$(id)",
    "ssh://ada:word@hub/x",
    "ada:word@hub:x",
    "hub:",
    "hub:-x",
    "hub:~/x",
    "hub:~root/x",
    "hub:a'b",
    "hub:a;id",
    "hub:$(id)",
    "hub:`id`",
    "hub:a b",
    "hub:a\\b",
    "hub:a\tb",
    "[::1:x",
    "[::g]:x",
    "[::1%eth0]:x",
    "[127.0.0.1]:x",
    "http://hub",
    "http://hub/",
    "http://hub//x",
    "http://hub/../x",
    "http://hub/./x",
    "http://hub/x/-/mvc",
    "http://hub/%2e%2e/x",
    "http://hub/x?y",
    "http://hub/x#y",
    "http://hub\\@evil/x",
    "http://hub:80:80/x",
    "http://h\u00fcb/x",
    "http://ada@hub/x",
    "https://ada:s3cret@hub/x",
    "https://ada:s3/cret@hub/x",
    "https://hub.example.org./x",
]


@pytest.mark.parametrize("text", GOOD)
def test_an_address_is_what_it_says_and_is_written_as_it_was(text: str) -> None:
    assert parse(text) == GOOD[text]
    assert str(parse(text)) == text


@pytest.mark.parametrize("text", BAD)
def test_what_could_mean_something_else_is_refused(text: str) -> None:
    with pytest.raises(UsageError):
        parse(text)


@pytest.mark.parametrize(
    "text",
    [
        "https://ada:s3cret@hub/x",
        "https://ada:s3cret@hub:99999/x",
        "https://ada:s3/cret@hub/x",
        "ssh://ada:s3cret@hub/x",
        "ada:s3cret@hub:x",
        "ftp://ada:s3cret@hub/x",
        "ssh://ada:s3cret@@hub:x/",
    ],
)
def test_an_error_never_shows_a_password(text: str) -> None:
    with pytest.raises(UsageError) as caught:
        parse(text)
    told = f"{caught.value.message} {caught.value.hint}"
    assert "s3" not in told
    assert "cret" not in told.replace("secret", "")


def test_a_password_for_http_is_answered_with_tokens() -> None:
    with pytest.raises(UsageError) as caught:
        parse("https://ada:word@hub/x")
    assert caught.value.hint is not None
    assert "mvc token create" in caught.value.hint


def test_a_slash_at_the_end_of_a_url_names_the_same_repository() -> None:
    assert parse("https://hub/team/x/") == parse("https://hub/team/x")


@pytest.mark.parametrize(
    ("text", "origin"),
    [
        ("https://Hub/x", "https://hub:443"),
        ("http://hub/x", "http://hub:80"),
        ("http://hub:8080/x", "http://hub:8080"),
        ("http://[::1]:8080/x", "http://[::1]:8080"),
    ],
)
def test_an_origin_is_scheme_host_and_port(text: str, origin: str) -> None:
    address = parse(text)
    assert isinstance(address, HttpAddress)
    assert address.origin == origin


HOSTS = st.one_of(
    st.from_regex(r"[a-z0-9]([a-z0-9._-]{0,8}[a-z0-9])?", fullmatch=True),
    st.ip_addresses(v=6).map(lambda ip: f"[{ip}]"),
)
PATHS = st.text("abzé./+=@,:_-0", min_size=1, max_size=12)
LOGINS = st.from_regex(r"([a-z][a-z0-9._-]{0,5}@)?", fullmatch=True)
PORTS = st.integers(-1, 70000).map(lambda port: f":{port}" if port else "")
LIKELY = st.one_of(
    st.tuples(LOGINS, HOSTS, st.just(":"), PATHS).map("".join),
    st.tuples(
        st.sampled_from(["ssh://", "http://", "https://"]),
        LOGINS,
        HOSTS,
        PORTS,
        st.just("/"),
        PATHS,
    ).map("".join),
)
ODD = st.text(st.sampled_from("ab:/@[]-%~.\\ \n'\"$;?#0é"), max_size=12)
ANY = st.one_of(
    LIKELY,
    ODD,
    st.text(max_size=12),
    st.tuples(st.sampled_from(["ssh://", "http://", "https://", "file://"]), ODD).map("".join),
)


@given(ANY)
@example("http://a/b/")
def test_any_text_is_an_address_that_is_read_back_or_is_refused(text: str) -> None:
    try:
        address = parse(text)
    except UsageError:
        return
    if isinstance(address, HttpAddress):
        assert str(address) == text.removesuffix("/")
    else:
        assert str(address) == text
    assert parse(str(address)) == address


@given(ANY)
def test_no_part_of_a_remote_address_is_an_option_or_moves_a_terminal(text: str) -> None:
    try:
        address = parse(text)
    except UsageError:
        return
    if isinstance(address, PathAddress):
        assert not address.path.startswith("-")
        return
    parts = [address.host, address.path]
    if isinstance(address, SshAddress):
        parts.append(address.login)
        assert not set(address.path) & set(" '\"\\$`;&|<>()*?!#\n")
    for part in parts:
        assert part
        assert not part.startswith("-")
        assert part.isprintable()
        assert " " not in part
    assert address.port is None or 1 <= address.port <= 65535
