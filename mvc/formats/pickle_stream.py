"""Reads a pickle without running it.

Specification: the opcodes of Python's `pickletools`, protocols 0 to 5. Nothing is imported and
nothing is called: a class or function is a `Global` (two texts), a call is a `Record` of what
would have been called. Values share structure exactly as the pickle says, so whoever walks the
result must remember what it has seen and must not recurse.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from mvc.base.errors import FormatError, LimitError
from mvc.formats.base import Source, check_range

MAX_STEPS = 20_000_000
MAX_OBJECTS = 4_000_000
MAX_MEMO = 4_000_000
MAX_TEXT = 64 * 1024
MAX_TOTAL_TEXT = 128 * 1024 * 1024
MAX_INTEGER_BYTES = 1024
MAX_LINE = 4096
_WINDOW = 64 * 1024


@dataclass(frozen=True, slots=True)
class Global:
    """The name of a class or function, never the thing itself."""

    module: str
    name: str


@dataclass(eq=False, slots=True)
class Record:
    """An object that loading would have made: what was called with what, and its state."""

    func: Any
    args: Any
    states: list[Any] | None = None
    items: list[Any] | None = None
    pairs: list[Any] | None = None


@dataclass(eq=False, slots=True)
class Mapping:
    """A dict: keys and values by turns, repeated keys included."""

    pairs: list[Any] | None = None


@dataclass(eq=False, slots=True)
class Members:
    """A set or frozenset."""

    items: list[Any]


@dataclass(eq=False, slots=True)
class PersistentId:
    """A reference to something outside the pickle."""

    value: Any


@dataclass(eq=False, slots=True)
class Opaque:
    """Bytes, or a text or integer too long to matter; `offset` is where they lie in the source."""

    offset: int
    length: int


@dataclass(frozen=True, slots=True)
class Loaded:
    """What a pickle holds, where it ended, and its persistent ids in order."""

    value: Any
    end: int
    persistent: list[PersistentId]


def load(source: Source, offset: int = 0) -> Loaded:
    """Read one pickle.

    Args:
        source: The file; more may follow after the pickle.
        offset: Where the pickle starts.

    Returns:
        Inert values, and the offset after the pickle.

    Raises:
        FormatError: The pickle is malformed or cut short, or needs more than the budgets allow.
    """
    machine = _Machine(source, offset)
    try:
        return machine.run()
    except (IndexError, ValueError, OverflowError, struct.error) as error:
        kind = type(error).__name__
        raise FormatError(
            f"the pickle is malformed before byte {machine.tell()} ({kind})"
        ) from None


class _Machine:
    """The stack machine. Methods named after no opcode are shared by several."""

    def __init__(self, source: Source, offset: int) -> None:
        check_range(offset, 0, source.size)
        self._source = source
        self._buffer = b""
        self._position = 0
        self._next = offset
        self._text = 0
        self._objects = 0
        self.stack: list[Any] = []
        self.marks: list[list[Any]] = []
        self.memo: dict[int, Any] = {}
        self.persistent: list[PersistentId] = []

    def run(self) -> Loaded:
        """Execute up to STOP."""
        operations = _OPERATIONS
        for _ in range(MAX_STEPS):
            position = self._position
            if position == len(self._buffer):
                self._refill(1)
                position = 0
            code = self._buffer[position]
            self._position = position + 1
            if code == _STOP:
                value = self.stack.pop()
                return Loaded(value, self.tell(), self.persistent)
            operation = operations[code]
            if operation is None:
                raise FormatError(f"the pickle has an unknown opcode at byte {self.tell() - 1}")
            operation(self)
        raise LimitError(f"the pickle takes more than {MAX_STEPS} steps")

    def tell(self) -> int:
        """Return the offset in the source."""
        return self._next - len(self._buffer) + self._position

    def take(self, length: int) -> bytes:
        """Return the next bytes."""
        start = self._position
        if start + length > len(self._buffer):
            self._refill(length)
            start = 0
        self._position = start + length
        return self._buffer[start : start + length]

    def _refill(self, length: int) -> None:
        rest = self._buffer[self._position :]
        missing = length - len(rest)
        available = self._source.size - self._next
        if missing > available:
            raise FormatError("the pickle ends early")
        count = min(max(missing, _WINDOW), available)
        self._buffer = rest + self._source.read_at(self._next, count)
        self._next += count
        self._position = 0

    def line(self) -> bytes:
        """Return the bytes up to a newline."""
        start = self._position
        end = self._buffer.find(b"\n", start)
        if end < 0:
            available = self._source.size - self.tell()
            self._refill(min(MAX_LINE, available))
            start, end = 0, self._buffer.find(b"\n")
            if end < 0:
                raise FormatError("the pickle has a line without an end")
        self._position = end + 1
        return self._buffer[start:end]

    def skip(self, length: int) -> Opaque:
        """Step over bytes without reading them."""
        start = self.tell()
        check_range(start, length, self._source.size)
        if self._position + length <= len(self._buffer):
            self._position += length
        else:
            self._buffer, self._position, self._next = b"", 0, start + length
        self.count()
        return Opaque(start, length)

    def count(self, objects: int = 1) -> None:
        """Account for new objects."""
        self._objects += objects
        if self._objects > MAX_OBJECTS:
            raise LimitError(f"the pickle makes more than {MAX_OBJECTS} objects")

    def text(self, length: int) -> str | Opaque:
        """Return a UTF-8 text, or a stand-in if it is too long to be a name."""
        if length > MAX_TEXT:
            return self.skip(length)
        self._text += length
        if self._text > MAX_TOTAL_TEXT:
            raise LimitError(f"the pickle has more than {MAX_TOTAL_TEXT} bytes of text")
        self.count()
        return self.take(length).decode("utf-8", "surrogatepass")

    def text_line(self, encoding: str) -> str:
        """Return a line as text."""
        raw = self.line()
        self._text += len(raw)
        if self._text > MAX_TOTAL_TEXT:
            raise LimitError(f"the pickle has more than {MAX_TOTAL_TEXT} bytes of text")
        return raw.decode(encoding)

    def integer(self, length: int) -> None:
        """Push a long integer in two's complement."""
        if length < 0:
            raise FormatError("the pickle has a negative length")
        if length > MAX_INTEGER_BYTES:
            self.stack.append(self.skip(length))
        else:
            self.stack.append(int.from_bytes(self.take(length), "little", signed=True))

    def pop_mark(self) -> list[Any]:
        """Return what was pushed since the last mark, and drop the mark."""
        items = self.stack
        self.stack = self.marks.pop()
        return items

    def put(self, key: int) -> None:
        """Remember the top of the stack."""
        self.memo[key] = self.stack[-1]
        if len(self.memo) > MAX_MEMO:
            raise LimitError(f"the pickle remembers more than {MAX_MEMO} values")

    def get(self, key: int) -> None:
        """Push a remembered value."""
        if key not in self.memo:
            raise FormatError("the pickle refers to a value it has not made")
        self.stack.append(self.memo[key])

    def make(self, value: Any) -> None:
        """Push a new object."""
        self.count()
        self.stack.append(value)

    def tuple_of(self, count: int) -> None:
        """Replace the top values by a tuple."""
        if len(self.stack) < count:
            raise FormatError("the pickle takes more values than it has")
        items = tuple(self.stack[-count:])
        del self.stack[-count:]
        self.make(items)

    def call(self) -> None:
        """REDUCE and NEWOBJ: record a call that does not happen."""
        args = self.stack.pop()
        self.make(Record(self.stack.pop(), args))

    def call_with_keywords(self) -> None:
        """NEWOBJ_EX."""
        keywords, args = self.stack.pop(), self.stack.pop()
        self.make(Record(self.stack.pop(), (args, keywords)))

    def extend(self, items: list[Any]) -> None:
        """Add items to the list, set or object on top."""
        target = self.stack[-1]
        if type(target) is list:
            target.extend(items)
        elif type(target) is Members:
            target.items.extend(items)
        elif type(target) is Record:
            if target.items is None:
                target.items = []
            target.items.extend(items)
        else:
            raise FormatError("the pickle appends to something that is no list")

    def set_items(self, pairs: list[Any]) -> None:
        """Add keys and values to the dict or object on top."""
        target = self.stack[-1]
        if len(pairs) % 2 or type(target) not in (Mapping, Record):
            raise FormatError("the pickle sets items of something that is no dict")
        if target.pairs is None:
            target.pairs = []
        target.pairs.extend(pairs)

    def build(self) -> None:
        """BUILD: note the state an object would have been given."""
        state = self.stack.pop()
        target = self.stack[-1]
        if type(target) is not Record:
            raise FormatError("the pickle gives a state to something that takes none")
        if target.states is None:
            target.states = []
        target.states.append(state)

    def persistent_id(self, value: Any) -> None:
        """Push a reference to something outside."""
        reference = PersistentId(value)
        self.persistent.append(reference)
        self.make(reference)

    def global_name(self, module: Any, name: Any) -> None:
        """Push the name of a class or function."""
        if type(module) is not str or type(name) is not str:
            raise FormatError("the pickle names a class with something that is no text")
        self.make(Global(module, name))


def _uint(machine: _Machine, width: int) -> int:
    return int.from_bytes(machine.take(width), "little")


def _int4(machine: _Machine) -> int:
    return int.from_bytes(machine.take(4), "little", signed=True)


def _long_text(machine: _Machine) -> None:
    machine.stack.append(int(machine.line().removesuffix(b"L")))


def _short_int_text(machine: _Machine) -> None:
    line = machine.line()
    machine.stack.append(line == b"01" if line in (b"00", b"01") else int(line))


def _quoted(machine: _Machine) -> None:
    text = machine.text_line("latin-1")
    if len(text) < 2 or text[0] not in "'\"" or text[-1] != text[0]:
        raise FormatError("the pickle has a text without quotes")
    machine.stack.append(text[1:-1])


def _byte_text(machine: _Machine, length: int) -> None:
    """Python 2 wrote names as byte strings; they are text to us whenever they can be."""
    if length < 0:
        raise FormatError("the pickle has a negative length")
    if length > MAX_TEXT:
        machine.stack.append(machine.skip(length))
        return
    raw = machine.take(length)
    machine.count()
    try:
        machine.stack.append(raw.decode("utf-8"))
    except UnicodeDecodeError:
        machine.stack.append(raw.decode("latin-1"))


def _global_lines(machine: _Machine) -> None:
    module = machine.text_line("utf-8")
    machine.global_name(module, machine.text_line("utf-8"))


def _stack_global(machine: _Machine) -> None:
    name = machine.stack.pop()
    machine.global_name(machine.stack.pop(), name)


def _inst(machine: _Machine) -> None:
    module = machine.text_line("utf-8")
    cls = Global(module, machine.text_line("utf-8"))
    machine.make(Record(cls, tuple(machine.pop_mark())))


def _obj(machine: _Machine) -> None:
    cls, *args = machine.pop_mark()
    machine.make(Record(cls, tuple(args)))


def _mark(machine: _Machine) -> None:
    machine.count()
    machine.marks.append(machine.stack)
    machine.stack = []


def _pop(machine: _Machine) -> None:
    if machine.stack:
        machine.stack.pop()
    else:
        machine.pop_mark()


def _set_item(machine: _Machine) -> None:
    value = machine.stack.pop()
    machine.set_items([machine.stack.pop(), value])


def _dict_from_mark(machine: _Machine) -> None:
    pairs = machine.pop_mark()
    machine.make(Mapping())
    machine.set_items(pairs)


def _push(value: Any) -> Callable[[_Machine], object]:
    return lambda machine: machine.stack.append(value)


def _table() -> list[Callable[[_Machine], object] | None]:
    table: list[Callable[[_Machine], object] | None] = [None] * 256
    for code, operation in _BY_CODE.items():
        table[ord(code)] = operation
    return table


_STOP = ord(".")

_BY_CODE: dict[str, Callable[[_Machine], object]] = {
    "I": _short_int_text,
    "J": lambda m: m.stack.append(_int4(m)),
    "K": lambda m: m.stack.append(_uint(m, 1)),
    "M": lambda m: m.stack.append(_uint(m, 2)),
    "L": _long_text,
    "\x8a": lambda m: m.integer(_uint(m, 1)),
    "\x8b": lambda m: m.integer(_int4(m)),
    "S": _quoted,
    "T": lambda m: _byte_text(m, _int4(m)),
    "U": lambda m: _byte_text(m, _uint(m, 1)),
    "B": lambda m: m.stack.append(m.skip(_uint(m, 4))),
    "C": lambda m: m.stack.append(m.skip(_uint(m, 1))),
    "\x8e": lambda m: m.stack.append(m.skip(_uint(m, 8))),
    "\x96": lambda m: m.stack.append(m.skip(_uint(m, 8))),
    "\x97": lambda m: m.stack.append(m.skip(0)),
    "\x98": lambda m: None,
    "N": _push(None),
    "\x88": _push(True),
    "\x89": _push(False),
    "V": lambda m: m.stack.append(m.text_line("raw-unicode-escape")),
    "\x8c": lambda m: m.stack.append(m.text(_uint(m, 1))),
    "X": lambda m: m.stack.append(m.text(_uint(m, 4))),
    "\x8d": lambda m: m.stack.append(m.text(_uint(m, 8))),
    "F": lambda m: m.stack.append(float(m.line())),
    "G": lambda m: m.stack.append(struct.unpack(">d", m.take(8))[0]),
    "]": lambda m: m.make([]),
    "a": lambda m: m.extend([m.stack.pop()]),
    "e": lambda m: m.extend(m.pop_mark()),
    "l": lambda m: m.make(m.pop_mark()),
    ")": _push(()),
    "t": lambda m: m.make(tuple(m.pop_mark())),
    "\x85": lambda m: m.tuple_of(1),
    "\x86": lambda m: m.tuple_of(2),
    "\x87": lambda m: m.tuple_of(3),
    "}": lambda m: m.make(Mapping()),
    "d": _dict_from_mark,
    "s": _set_item,
    "u": lambda m: m.set_items(m.pop_mark()),
    "\x8f": lambda m: m.make(Members([])),
    "\x90": lambda m: m.extend(m.pop_mark()),
    "\x91": lambda m: m.make(Members(m.pop_mark())),
    "0": _pop,
    "2": lambda m: m.stack.append(m.stack[-1]),
    "(": _mark,
    "1": lambda m: m.pop_mark(),
    "g": lambda m: m.get(int(m.line())),
    "h": lambda m: m.get(_uint(m, 1)),
    "j": lambda m: m.get(_uint(m, 4)),
    "p": lambda m: m.put(int(m.line())),
    "q": lambda m: m.put(_uint(m, 1)),
    "r": lambda m: m.put(_uint(m, 4)),
    "\x94": lambda m: m.put(len(m.memo)),
    "\x82": lambda m: m.make(Global("copyreg", f"extension {_uint(m, 1)}")),
    "\x83": lambda m: m.make(Global("copyreg", f"extension {_uint(m, 2)}")),
    "\x84": lambda m: m.make(Global("copyreg", f"extension {_int4(m)}")),
    "c": _global_lines,
    "\x93": _stack_global,
    "R": lambda m: m.call(),
    "b": lambda m: m.build(),
    "i": _inst,
    "o": _obj,
    "\x81": lambda m: m.call(),
    "\x92": lambda m: m.call_with_keywords(),
    "\x80": lambda m: m.take(1),
    "\x95": lambda m: m.take(8),
    "P": lambda m: m.persistent_id(m.text_line("utf-8")),
    "Q": lambda m: m.persistent_id(m.stack.pop()),
}

_OPERATIONS = _table()
