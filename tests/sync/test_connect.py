from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from mvc.base.errors import NetworkError, NotFoundError
from mvc.sync.address import SshAddress, parse
from mvc.sync.connect import Settings, connect, once
from mvc.sync.messages import RefsReply, RefsRequest
from mvc.sync.retry import PatientLink

REFS = RefsRequest(("refs/",))


def stand_in(folder: Path, program: str) -> tuple[str, ...]:
    """A program that is run in place of ssh and can see its arguments."""
    path = folder / "ssh.py"
    path.write_text(program)
    return (sys.executable, str(path))


def test_ssh_is_what_the_settings_say_and_gets_the_address(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parents[2]))
    ssh = stand_in(
        tmp_path,
        f"import sys; open({str(tmp_path / 'seen')!r}, 'w').write(repr(sys.argv[1:]))\n"
        "from tests.sync.speaker import main; main('plain')\n",
    )
    link = connect(parse("ssh://ada@hub:2222/srv/x"), Settings(ssh=ssh))
    assert not (tmp_path / "seen").exists()
    assert isinstance(link.ask(REFS).reply, RefsReply)
    link.close()
    expected = ["-p", "2222", "ada@hub", "--", "mvc", "serve", "--stdio", "'/srv/x'"]
    assert (tmp_path / "seen").read_text() == repr(expected)


def test_a_host_that_cannot_be_reached_is_tried_as_often_as_the_settings_say(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pauses: list[float] = []
    monkeypatch.setattr("mvc.base.fileio.pause", pauses.append)
    ssh = stand_in(tmp_path, "import sys; print('No route', file=sys.stderr); sys.exit(255)")
    told: list[str] = []
    address = parse("hub:x")
    assert isinstance(address, SshAddress)
    settings = Settings(ssh=ssh, tries=2, told=told.append)
    link = PatientLink(
        lambda: once(address, settings), tries=3, pause=pauses.append, told=told.append
    )
    with pytest.raises(NetworkError, match="ssh cannot reach hub: No route"):
        link.ask(REFS)
    assert len(pauses) == 2
    assert told[0] == "hub: No route"
    assert told[1].startswith("trying again in 0.")
    assert told[1].endswith("ssh cannot reach hub: No route")


def test_a_path_is_seen_from_the_folder_of_the_settings(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError):
        connect(parse("nowhere"), Settings(here=tmp_path))


def test_no_carrier_is_loaded_that_is_not_taken() -> None:
    program = (
        "import sys\n"
        "from mvc.sync.address import parse\n"
        "from mvc.sync.connect import connect\n"
        "connect(parse('hub:x')).close()\n"
        "print(*sorted(sys.modules))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    loaded = set(done.stdout.split())
    assert not loaded & {"urllib3", "ssl", "http.client", "mvc.sync.local", "mvc.sync.stdio"}
