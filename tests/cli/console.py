"""Runs commands in this process, in a folder of their own, with a clock that ticks by itself."""

from __future__ import annotations

import contextlib
import io
import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mvc.cli.main import run
from mvc.cli.session import Session
from mvc.repo.repository import Environment

START = 1_700_000_000_000_000
MINUTE = 60_000_000


@dataclass(frozen=True)
class Done:
    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)

    @property
    def lines(self) -> list[str]:
        return self.out.splitlines()


class Console:
    """A folder and a command line in it."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.folder = folder
        self._now = START
        original = Session.environment

        def environment(session: Session) -> Environment:
            return replace(original(session), clock=self._tick)

        monkeypatch.setattr(Session, "environment", environment)
        monkeypatch.setattr("mvc.cli.commands.log.system_clock", lambda: self._now)

    def _tick(self) -> int:
        self._now += MINUTE
        return self._now

    def __call__(self, *arguments: str, code: int = 0) -> Done:
        """Run a command that must end with `code`."""
        done = self.any(*arguments)
        assert done.code == code, done
        return done

    def any(self, *arguments: str) -> Done:
        """Run a command, however it ends."""
        out, err = _Stream(), _Stream()
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            got = run(list(arguments))
        return Done(got, out.text(), err.text())

    def write(self, name: str, data: bytes | str | dict[str, Any]) -> Path:
        """Write a file: bytes, text, or arrays as safetensors."""
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if isinstance(data, dict):
            from safetensors.numpy import save

            data = save({key: np.asarray(value, np.float32) for key, value in data.items()})
        path.write_bytes(data.encode() if isinstance(data, str) else data)
        return path

    def commit(self, message: str, *options: str) -> str:
        """Track everything and commit; return the id."""
        self("add", ".")
        return str(self("commit", "-m", message, "--json", *options).json["id"])

    def named(self, text: str, **ids: str) -> str:
        """Replace ids, whole or abbreviated, by names."""
        for name, value in ids.items():
            text = text.replace(value, f"<{name}>").replace(value[:10], f"<{name}>")
        return text


class _Stream(io.TextIOWrapper):
    """A stream with a buffer below it, as the real ones have."""

    def __init__(self) -> None:
        self._bytes = io.BytesIO()
        super().__init__(self._bytes, encoding="utf-8", write_through=True)

    def text(self) -> str:
        self.flush()
        return self._bytes.getvalue().decode("utf-8", "replace")
