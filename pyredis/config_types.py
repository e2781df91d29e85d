"""The kinds of values that configuration directives hold.

A kind is a triple of pure functions: from words to a value (`parse`), from a value to what
CONFIG GET shows (`show`), and from a value to lines of a configuration file (`lines`). Words
are what a line of the file was split into, or what CONFIG SET got, cut at blanks when the
kind takes several words.

Text is `str` throughout. Bytes that are no UTF-8 travel in it as lone surrogates ("surrogate
escapes"), so a password made of any bytes comes back unharmed.

Numbers follow the C functions that Redis reads them with, since scripts have come to depend on
their leniency: plain integers are strict (no sign `+`, no leading zero or blank), while the
parts of `save` and the like saturate, allow a sign and take the empty word for zero.
"""

import re
from collections.abc import Callable, Sequence
from typing import Generic, NamedTuple, TypeVar

from pyredis.quoting import parse_memory, quote

T = TypeVar("T")

INT_MIN, INT_MAX = -(1 << 31), (1 << 31) - 1
LONG_MIN, LONG_MAX = -(1 << 63), (1 << 63) - 1
UINT_MAX, ULONG_MAX = (1 << 32) - 1, (1 << 64) - 1

Line = tuple[str, bool]  # a line for the file; True: write it even where there was none


class ConfigError(Exception):
    """A value or a directive was refused; the message is the text that Redis gives."""


def decode(raw: bytes) -> str:
    """Bytes as text; never fails, and `encode` gives the same bytes back."""
    return raw.decode("utf-8", "surrogateescape")


def encode(text: str) -> bytes:
    """Inverse of `decode`."""
    return text.encode("utf-8", "surrogateescape")


def quoted(text: str) -> str:
    """Text between double quotes, as a configuration file has it."""
    return quote(encode(text)).decode("ascii")


def _wrap(number: int, bits: int) -> int:
    """The number as a two's complement integer of so many bits."""
    half = 1 << (bits - 1)
    return (number + half) % (1 << bits) - half


_LENIENT = re.compile(r"(?:[ \t-\r]*([+-]?[0-9]+))?", re.ASCII)


def _lenient(word: str) -> int | None:
    """A saturating 64-bit integer; None if the word is none. The empty word is zero."""
    found = _LENIENT.fullmatch(word)
    if found is None:
        return None
    digits = found[1] or "0"
    if len(digits) > 4000:  # more than Python converts
        digits = digits[:100]
    return max(LONG_MIN, min(LONG_MAX, int(digits)))


class Kind(Generic[T]):
    """One kind of value."""

    several_words = False

    def parse(self, words: Sequence[str], current: T) -> T:
        """The new value. Raises ConfigError and changes nothing when the words don't fit."""
        raise NotImplementedError

    def load(self, words: Sequence[str], current: T, first: bool) -> T:
        """As `parse`, for a line of a file; `first` where no line named the directive before."""
        return self.parse(words, current)

    def show(self, value: T) -> str:
        """The value as CONFIG GET prints it."""
        return str(value)

    def written(self, value: T) -> str:
        """The value as it stands in a file."""
        return self.show(value)

    def lines(self, name: str, value: T, default: T) -> list[Line]:
        """The lines that say this value; none when the value is said by absence."""
        return [(f"{name} {self.written(value)}", value != default)]


class YesNo(Kind[bool]):
    def parse(self, words: Sequence[str], current: bool) -> bool:
        word = words[0].lower()
        if word not in ("yes", "no"):
            raise ConfigError("argument must be 'yes' or 'no'")
        return word == "yes"

    def show(self, value: bool) -> str:
        return "yes" if value else "no"


class Integer(Kind[int]):
    """A number within bounds, written plainly."""

    expected = "argument couldn't be parsed into an integer"
    _strict = re.compile(r"0|-?[1-9][0-9]{0,18}", re.ASCII)

    def __init__(self, low: int, high: int, clamp: tuple[int, int] | None = None) -> None:
        self.low, self.high, self.clamp = low, high, clamp

    def number(self, word: str) -> int:
        if self._strict.fullmatch(word) and LONG_MIN <= int(word) <= LONG_MAX:
            return int(word)
        raise ConfigError(self.expected)

    def parse(self, words: Sequence[str], current: int) -> int:
        number = self.number(words[0])
        if not self.low <= number <= self.high:
            raise ConfigError(
                f"argument must be between {self.bound(self.low)} "
                f"and {self.bound(self.high)} inclusive"
            )
        return number if self.clamp is None else max(self.clamp[0], min(self.clamp[1], number))

    def bound(self, number: int) -> str:
        return str(number)


class Octal(Integer):
    """File permissions."""

    expected = "argument couldn't be parsed as an octal number"
    _octal = re.compile(r"(?:[ \t-\r]*([+-]?[0-7]+))?", re.ASCII)

    def number(self, word: str) -> int:
        found = self._octal.fullmatch(word)
        if found is None:
            raise ConfigError(self.expected)
        return int(found[1] or "0", 8)

    def bound(self, number: int) -> str:
        return f"{number:o}"

    def show(self, value: int) -> str:
        return f"{value:o}"


class Memory(Integer):
    """A number of bytes, with or without a unit."""

    expected = "argument must be a memory value"

    def number(self, word: str) -> int:
        try:
            number = parse_memory(word)
        except ValueError as error:
            raise ConfigError(self.expected) from error
        return number if self.high > LONG_MAX else _wrap(number, 64)

    def written(self, value: int) -> str:
        for unit, size in (("gb", 1 << 30), ("mb", 1 << 20), ("kb", 1 << 10)):
            if value and value % size == 0:
                return f"{value // size}{unit}"
        return str(value)


class MemoryOrPercent(Memory):
    """Bytes, or a share of maxmemory, which is kept as a negative number: 5% is -5."""

    expected = "argument must be a memory or percent value"

    def parse(self, words: Sequence[str], current: int) -> int:
        digits, percent = words[0][:-1], words[0][-1:]
        if percent == "%" and self._strict.fullmatch(digits) and 0 <= int(digits) <= LONG_MAX:
            if int(digits) > -self.low:
                raise ConfigError(f"percentage argument must be less or equal to {-self.low}")
            return -int(digits)
        return super().parse(words, current)

    def show(self, value: int) -> str:
        return f"{-value}%" if value < 0 else str(value)

    def written(self, value: int) -> str:
        return self.show(value) if value < 0 else super().written(value)


class Text(Kind[str]):
    """A string; a directive that is `unset_by_empty` leaves the file when it is empty.

    Unless `binary`, it ends at a NUL byte: most of these become names that the operating
    system reads. `check` gives the reason why a text is refused, or None.
    """

    def __init__(
        self,
        unset_by_empty: bool = False,
        binary: bool = False,
        check: Callable[[str], str | None] | None = None,
    ) -> None:
        self.unset_by_empty, self.binary, self.check = unset_by_empty, binary, check

    def parse(self, words: Sequence[str], current: str) -> str:
        value = words[0] if self.binary else words[0].partition("\0")[0]
        reason = None if self.check is None else self.check(value)
        if reason is not None:
            raise ConfigError(reason)
        return value

    def written(self, value: str) -> str:
        return quoted(value)

    def lines(self, name: str, value: str, default: str) -> list[Line]:
        return [] if self.unset_by_empty and not value else super().lines(name, value, default)


class Directory(Text):
    """The working directory: always in the file once it was rewritten."""

    def parse(self, words: Sequence[str], current: str) -> str:
        if len(words) != 1:
            raise ConfigError("wrong number of arguments")
        return super().parse(words, current)

    def lines(self, name: str, value: str, default: str) -> list[Line]:
        return [(f"{name} {quoted(value)}", True)]


def _one_of(names: Sequence[str]) -> ConfigError:
    return ConfigError("argument(s) must be one of the following: " + ", ".join(names))


class Choice(Kind[str]):
    """One of several names. `synonyms` maps names to those they are kept and shown as."""

    def __init__(self, names: Sequence[str], synonyms: dict[str, str] | None = None) -> None:
        self.names, self.synonyms = tuple(names), synonyms or {}

    def parse(self, words: Sequence[str], current: str) -> str:
        name = words[0].lower()
        if name not in self.names:
            raise _one_of(self.names)
        return self.synonyms.get(name, name)


class ShutdownFlags(Kind[frozenset[str]]):
    """What a signal adds to SHUTDOWN; the empty set is shown as `default`."""

    several_words = True
    names = ("default", "save", "nosave", "now", "force")

    def parse(self, words: Sequence[str], current: frozenset[str]) -> frozenset[str]:
        flags = {word.lower() for word in words}
        if not flags or not flags <= set(self.names):
            raise _one_of(self.names)
        if flags >= {"save", "nosave"}:
            raise ConfigError("shutdown options SAVE and NOSAVE can't be used simultaneously")
        return frozenset(flags - {"default"})

    def show(self, value: frozenset[str]) -> str:
        return " ".join(name for name in self.names if name in value) or "default"


class KeyEvents(Kind[frozenset[str]]):
    """The classes of key events, one letter each. `A` is kept as the letters it stands for."""

    all_classes = "g$lshzxetd"
    _letters = frozenset(all_classes + "KEmn")

    def parse(self, words: Sequence[str], current: frozenset[str]) -> frozenset[str]:
        if len(words) != 1:
            raise ConfigError("wrong number of arguments")
        letters = frozenset(words[0].replace("A", self.all_classes))
        if not letters <= self._letters:
            raise ConfigError("Invalid event class character. Use 'Ag$lshzxeKEtmdn'.")
        return letters

    def show(self, value: frozenset[str]) -> str:
        """Canonical order. As in Redis `n` stays silent beside `A`."""
        if value >= frozenset(self.all_classes):
            return "A" + "".join(letter for letter in "KEm" if letter in value)
        return "".join(letter for letter in self.all_classes + "nKEm" if letter in value)

    def written(self, value: frozenset[str]) -> str:
        """With the `n` that `show` hides, lest the file forget it."""
        shown = self.show(value)
        return quoted(shown + "n" if "n" in value and "n" not in shown else shown)


class SavePoint(NamedTuple):
    """Save when so many changes happened and so many seconds passed since the last save."""

    seconds: int
    changes: int


class SavePoints(Kind[tuple[SavePoint, ...]]):
    several_words = True

    def parse(self, words: Sequence[str], current: tuple[SavePoint, ...]) -> tuple[SavePoint, ...]:
        if list(words) == [""]:
            return ()
        numbers = [_lenient(word) for word in words]
        points = [
            SavePoint(s, c)
            for s, c in zip(numbers[::2], numbers[1::2], strict=False)
            if s is not None and c is not None and s >= 1 and c >= 0
        ]
        if 2 * len(points) != len(words):
            raise ConfigError("Invalid save parameters")
        return tuple(SavePoint(seconds, _wrap(changes, 32)) for seconds, changes in points)

    def load(
        self, words: Sequence[str], current: tuple[SavePoint, ...], first: bool
    ) -> tuple[SavePoint, ...]:
        """The first line of a file replaces the defaults, later ones add, `""` clears."""
        points = self.parse(words, current)
        return points if first or list(words) == [""] else current + points

    def show(self, value: tuple[SavePoint, ...]) -> str:
        return " ".join(f"{seconds} {changes}" for seconds, changes in value)

    def lines(
        self, name: str, value: tuple[SavePoint, ...], default: tuple[SavePoint, ...]
    ) -> list[Line]:
        if not value:
            return [(f'{name} ""', True)]
        return [(f"{name} {seconds} {changes}", True) for seconds, changes in value]


class BufferLimit(NamedTuple):
    """When a client is cut off: at once above hard, after some seconds above soft; 0 is never."""

    hard_bytes: int
    soft_bytes: int
    soft_seconds: int


class BufferLimits(NamedTuple):
    """The limits of the three classes of clients that have one."""

    normal: BufferLimit
    replica: BufferLimit
    pubsub: BufferLimit


class OutputBufferLimits(Kind[BufferLimits]):
    several_words = True

    def parse(self, words: Sequence[str], current: BufferLimits) -> BufferLimits:
        """Classes that are not named keep their limits."""
        if len(words) % 4:
            raise ConfigError("Wrong number of arguments in buffer limit configuration.")
        limits = current._asdict()
        for at in range(0, len(words), 4):
            name = words[at].lower()
            name = "replica" if name == "slave" else name
            if name not in limits:
                raise ConfigError("Invalid client class specified in buffer limit configuration.")
            limits[name] = self._limit(*words[at + 1 : at + 4])
        return BufferLimits(**limits)

    def _limit(self, hard: str, soft: str, seconds: str) -> BufferLimit:
        number = _lenient(seconds)
        try:
            if number is not None and _wrap(number, 32) >= 0:
                return BufferLimit(parse_memory(hard), parse_memory(soft), _wrap(number, 32))
        except ValueError:
            pass
        raise ConfigError(
            "Error in hard, soft or soft_seconds setting in buffer limit configuration."
        )

    def show(self, value: BufferLimits) -> str:
        names = ("normal", "slave", "pubsub")
        return " ".join(
            f"{name} {limit.hard_bytes} {limit.soft_bytes} {limit.soft_seconds}"
            for name, limit in zip(names, value, strict=False)
        )

    def lines(self, name: str, value: BufferLimits, default: BufferLimits) -> list[Line]:
        written = Memory(0, ULONG_MAX).written
        lines = []
        for field, limit, usual in zip(value._fields, value, default, strict=True):
            sizes = f"{written(limit.hard_bytes)} {written(limit.soft_bytes)}"
            lines.append((f"{name} {field} {sizes} {limit.soft_seconds}", limit != usual))
        return lines


class OomScores(Kind[tuple[int, ...]]):
    """What is added to the OOM score of a primary, a replica and a child process."""

    several_words = True

    def parse(self, words: Sequence[str], current: tuple[int, ...]) -> tuple[int, ...]:
        if len(words) != 3:
            raise ConfigError("wrong number of arguments")
        numbers = [_lenient(word) for word in words]
        if not all(number is not None and -2000 <= number <= 2000 for number in numbers):
            raise ConfigError(
                "Invalid oom-score-adj-values, elements must be between -2000 and 2000."
            )
        return tuple(number for number in numbers if number is not None)

    def show(self, value: tuple[int, ...]) -> str:
        return " ".join(map(str, value))


_DECIMAL = re.compile(
    r"(?i)[+-]?(?:(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:e[+-]?[0-9]+)?|inf(?:inity)?)", re.ASCII
)
_HEXADECIMAL = re.compile(
    r"(?i)[+-]?0x(?:[0-9a-f]+\.?[0-9a-f]*|\.[0-9a-f]+)(?:p[+-]?[0-9]+)?", re.ASCII
)


class Percentiles(Kind[tuple[float, ...]]):
    several_words = True

    def parse(self, words: Sequence[str], current: tuple[float, ...]) -> tuple[float, ...]:
        if list(words) == [""]:
            return ()
        return tuple(self._percentile(word) for word in words)

    def _percentile(self, word: str) -> float:
        if _DECIMAL.fullmatch(word):
            value = float(word)
        elif _HEXADECIMAL.fullmatch(word):
            value = float.fromhex(word)
        else:
            raise ConfigError("Invalid latency-tracking-info-percentiles parameters")
        if not 0.0 <= value <= 100.0:
            raise ConfigError(
                "latency-tracking-info-percentiles parameters should sit between [0.0,100.0]"
            )
        return value

    def show(self, value: tuple[float, ...]) -> str:
        return " ".join(f"{percentile:f}".rstrip("0").rstrip(".") for percentile in value)

    def lines(self, name: str, value: tuple[float, ...], default: tuple[float, ...]) -> list[Line]:
        return [(f"{name} {self.show(value) or quoted('')}", True)]


class Addresses(Kind[tuple[str, ...]]):
    """The interfaces to listen on; a leading `-` allows an address to be unavailable."""

    several_words = True
    most = 16

    def parse(self, words: Sequence[str], current: tuple[str, ...]) -> tuple[str, ...]:
        if len(words) > self.most:
            raise ConfigError("Too many bind addresses specified.")
        return () if list(words) == [""] else tuple(words)

    def show(self, value: tuple[str, ...]) -> str:
        return " ".join(value)

    def lines(self, name: str, value: tuple[str, ...], default: tuple[str, ...]) -> list[Line]:
        if value == default:
            return []
        return [(f"{name} {self.show(value) or quoted('')}", True)]


class PrimaryAddress(NamedTuple):
    """The server that this one is a replica of."""

    host: str
    port: int


class ReplicaOf(Kind[PrimaryAddress | None]):
    several_words = True

    def parse(self, words: Sequence[str], current: PrimaryAddress | None) -> PrimaryAddress | None:
        if len(words) != 2:
            raise ConfigError("wrong number of arguments")
        host, port = words
        if (host.lower(), port.lower()) == ("no", "one"):
            return None
        number = _lenient(port)
        if number is None or not 0 <= number <= 65535:
            raise ConfigError("Invalid master port")
        return PrimaryAddress(host, number)

    def show(self, value: PrimaryAddress | None) -> str:
        return "" if value is None else f"{value.host} {value.port}"

    def lines(
        self, name: str, value: PrimaryAddress | None, default: PrimaryAddress | None
    ) -> list[Line]:
        return [] if value is None else [(f"{name} {self.show(value)}", True)]
