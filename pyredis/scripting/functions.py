"""Function libraries: code that clients leave with the server, to call by name.

A library's code runs once when it is loaded, and registers functions. Names of functions are
unique in the server. Loading is all or nothing: what a library registers goes into a new
``Library`` first, and takes its place among the others only when everything is right.

FUNCTION DUMP is a row of RDB records, one a library (opcode 245 and the code as a string), then
version and checksum as in a DUMP of a value.
"""

from __future__ import annotations

from collections.abc import Container, Iterable
from dataclasses import dataclass, field
from enum import Enum
from typing import TYPE_CHECKING, Any, Final

from pyredis.persistence.encoding import Encoder, Short, Source, crc64
from pyredis.persistence.payload import is_genuine
from pyredis.persistence.rdb import CHECKSUM_BYTES, FUNCTION, FUNCTION_PRE_RELEASE
from pyredis.persistence.values import VERSION_DEFAULT
from pyredis.resp import Error
from pyredis.scripting.shebang import BAD_NAME, is_name, parse_flags, read_library

if TYPE_CHECKING:
    from pyredis.scripting.manager import Scripting

_VERSION_BYTES: Final = 2
_NOT_GENUINE: Final = "ERR DUMP payload version or checksum are wrong"


class Policy(Enum):
    """FUNCTION RESTORE: what becomes of libraries that are there already."""

    APPEND = b"APPEND"  # a library of the same name is an error
    REPLACE = b"REPLACE"  # it is replaced
    FLUSH = b"FLUSH"  # all of them go


@dataclass(frozen=True, slots=True)
class Function:
    """A callable of a library; ``callback`` is Lua's."""

    name: bytes
    callback: Any
    description: bytes | None
    flags: frozenset[str]


@dataclass(slots=True)
class Library:
    """A name, its code, and the functions that running the code registered."""

    name: bytes
    text: bytes
    functions: dict[bytes, Function] = field(default_factory=dict)

    def register(
        self, name: bytes, callback: Any, description: bytes | None, flags: list[bytes]
    ) -> str | None:
        """Take a function in; returns what is wrong with it, None if nothing is."""
        if not is_name(name):
            return BAD_NAME
        if name in self.functions:
            return "Function already exists in the library"
        known = parse_flags(flags)
        if known is None:
            return "unknown flag given"
        self.functions[name] = Function(name, callback, description, known)
        return None


class Libraries:
    """All libraries of a server. Changes are all or nothing, and raise Error when nothing."""

    def __init__(self, scripting: Scripting) -> None:
        self._scripting = scripting
        self.libraries: dict[bytes, Library] = {}
        self.functions: dict[bytes, Function] = {}

    def find(self, name: bytes) -> Function | None:
        """The function of that name. Case does not matter."""
        found = self.functions.get(name)
        return found if found is not None else self.functions.get(name.lower())

    def load(self, text: bytes, replace: bool) -> bytes:
        """FUNCTION LOAD; returns the library's name."""
        name, code = read_library(text)
        if name in self.libraries and not replace:
            raise Error(b"ERR Library '%b' already exists" % name)
        library = self._scripting.load_library(Library(name, text), code)
        self._check_names([library], self._functions_of([name]))
        self._put([library])
        return name

    def delete(self, name: bytes) -> None:
        """FUNCTION DELETE."""
        if name not in self.libraries:
            raise Error("ERR Library not found")
        self._drop(name)

    def flush(self) -> None:
        """FUNCTION FLUSH: all libraries, and the Lua state they live in."""
        self.libraries = {}
        self.functions = {}
        self._scripting.forget_functions()

    def dump(self) -> bytes:
        """FUNCTION DUMP."""
        encoder = Encoder(compresses=True)
        records = [
            b"%c%b" % (FUNCTION, encoder.string(library.text))
            for library in self.libraries.values()
        ]
        payload = b"".join(records) + VERSION_DEFAULT.to_bytes(_VERSION_BYTES, "little")
        return payload + crc64(payload).to_bytes(CHECKSUM_BYTES, "little")

    def restore(self, payload: bytes, policy: Policy) -> None:
        """FUNCTION RESTORE. Raises Error, leaving everything as it was."""
        if not is_genuine(payload):
            raise Error(_NOT_GENUINE)
        self.put_all(_texts(payload[: -_VERSION_BYTES - CHECKSUM_BYTES]), policy)

    def put_all(self, texts: list[bytes], policy: Policy) -> None:
        """Load several libraries. Raises Error, leaving everything as it was."""
        fresh: dict[bytes, Library] = {}
        for text in texts:
            name, code = read_library(text)
            if name in fresh or (policy is Policy.APPEND and name in self.libraries):
                raise Error(b"ERR Library %b already exists" % name)
            fresh[name] = self._scripting.load_library(Library(name, text), code)
        flushes = policy is Policy.FLUSH
        leaving = self.functions if flushes else self._functions_of(fresh)
        self._check_names(list(fresh.values()), leaving)
        if flushes:
            self.libraries = {}
            self.functions = {}
        self._put(list(fresh.values()))

    def _functions_of(self, names: Iterable[bytes]) -> set[bytes]:
        """The functions of those of these libraries that there are."""
        found = [self.libraries[name].functions for name in names if name in self.libraries]
        return set().union(*found)

    def _check_names(self, fresh: list[Library], leaving: Container[bytes]) -> None:
        """Raises Error for a function that is there twice, or already and is not to go."""
        taken: set[bytes] = set()
        for library in fresh:
            for name in library.functions:
                if name in taken or (name in self.functions and name not in leaving):
                    raise Error(b"ERR Function %b already exists" % name)
                taken.add(name)

    def _put(self, fresh: list[Library]) -> None:
        for library in fresh:
            if library.name in self.libraries:
                self._drop(library.name)
            self.libraries[library.name] = library
            self.functions.update(library.functions)

    def _drop(self, name: bytes) -> None:
        for function in self.libraries.pop(name).functions:
            del self.functions[function]


def _texts(records: bytes) -> list[bytes]:
    """The codes of the libraries in a dump. Raises Error."""
    source = Source(records)
    texts = []
    try:
        while source.pos < len(records):
            opcode = source.byte()
            if opcode == FUNCTION_PRE_RELEASE:
                raise Error("ERR Pre-release function format not supported")
            if opcode != FUNCTION:
                raise Error("ERR given type is not a function")
            texts.append(source.string())
    except (Short, ValueError):
        raise Error("ERR Failed loading library data") from None
    return texts
