"""A small JSON file of a repository that says what is under way, from one command to the next."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

from mvc.base import fileio
from mvc.base.errors import FormatError, IntegrityError, NotFoundError
from mvc.repo.repository import Repository

State = TypeVar("State")


@dataclass(frozen=True, slots=True)
class StateFile:
    """Where it is in the repository's folder, and the most bytes that are read of it.

    `what` nobody knows where it is damaged, and `remedy` follows on removing it.
    """

    name: str
    most: int
    what: str
    remedy: str

    def exists(self, repo: Repository) -> bool:
        """Tell whether something is under way, without reading it."""
        return fileio.stat_file(repo.folder / self.name) is not None

    def read(self, repo: Repository, parse: Callable[[Any], State]) -> State | None:
        """Return what the file says, None where there is none. Raises IntegrityError."""
        path = repo.folder / self.name
        if not self.exists(repo):
            return None
        try:
            return parse(json.loads(fileio.read_bytes(path, self.most)))
        except NotFoundError:
            return None
        except (FormatError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise IntegrityError(
                f"{path} is damaged: nobody knows {self.what}",
                hint=f"remove {path}{self.remedy}",
            ) from error

    def write(self, repo: Repository, value: object) -> None:
        """Replace the file durably, in one step."""
        staging = repo.scratch / self.name
        fileio.clear(staging)
        data = json.dumps(value, ensure_ascii=False).encode("utf-8", "surrogatepass")
        fileio.write_file(repo.folder / self.name, data, staging)

    def clear(self, repo: Repository) -> None:
        """Remove the file durably."""
        fileio.remove(repo.folder / self.name)
