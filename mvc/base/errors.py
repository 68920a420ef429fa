"""Every error mvc raises on purpose.

MvcError                    exit code 128
├── UsageError              2    the request makes no sense as it stands
├── NegativeAnswer          1    the answer is no, or local work is in the way
├── NotFoundError           3    no such repository, revision, path or object
│   └── TailAwayError       3    lower bits that were offloaded cannot be reached
├── RemoteMovedError        4    a ref is no longer where the caller saw it
├── NotAllowedError         5    permission denied
├── IntegrityError          6    stored bytes are damaged or do not match their id
│   └── MissingObjectError  6    an object that must be there is not
│       └── LeftOutError    3    a file is not here, as this copy has only some
├── FormatError             6    bytes do not follow the format they claim
│   └── LimitError          6    a declared size is above a limit of docs/format.md
├── NetworkError            7    another machine cannot be reached, or failed on the way
└── StorageError            128  the operating system refused (disk full, read-only, I/O)

Malformed input raises only FormatError; whoever reads hostile bytes needs no other handler.
"""

from __future__ import annotations


class MvcError(Exception):
    """Base of all errors: one sentence, and optionally a hint that names the next step."""

    exit_code = 128
    code = "error"

    def __init__(self, message: str, *, hint: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint


class UsageError(MvcError):
    """The request cannot be understood or contradicts itself."""

    exit_code = 2
    code = "usage"


class NegativeAnswer(MvcError):
    """The answer is no, or uncommitted work is in the way."""

    exit_code = 1
    code = "negative"


class NotFoundError(MvcError):
    """No such repository, revision, path or object."""

    exit_code = 3
    code = "not-found"


class TailAwayError(NotFoundError):
    """Lower bits were offloaded, and where they are cannot be reached."""

    code = "tail-away"


class RemoteMovedError(MvcError):
    """A compare-and-swap lost: the ref has another value than the caller expected."""

    exit_code = 4
    code = "moved"


class NotAllowedError(MvcError):
    """The operating system or a policy forbids it."""

    exit_code = 5
    code = "not-allowed"


class IntegrityError(MvcError):
    """Stored bytes are damaged: they do not have the digest that names them."""

    exit_code = 6
    code = "integrity"


class MissingObjectError(IntegrityError):
    """An object that something refers to is not in the store."""

    code = "missing-object"


class LeftOutError(MissingObjectError):
    """A file of a version was left out on purpose when this copy was made."""

    exit_code = 3
    code = "left-out"


class FormatError(MvcError):
    """Bytes do not follow the format they claim to have."""

    exit_code = 6
    code = "format"


class LimitError(FormatError):
    """A declared length or count is above a named limit."""

    code = "limit"


class NetworkError(MvcError):
    """Another machine cannot be reached, or the exchange with it failed; trying again may help."""

    exit_code = 7
    code = "network"


class StorageError(MvcError):
    """The operating system refused a read or a write."""

    code = "storage"
