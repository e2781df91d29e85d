"""Glob patterns as Redis understands them: KEYS, SCAN, PSUBSCRIBE, ACL, CONFIG GET.

A pattern is a row of elements: `*` stands for any run of bytes, every other element (`?`, a
bracket, an escape, a plain byte) stands for exactly one. So between two stars lies a segment
of fixed length, and taking the leftmost place where a segment fits is never wrong: whatever
a later place would leave for the rest, the leftmost leaves more. That makes backtracking over
stars needless. The pattern is compiled once into a regular expression in which each inner
segment is atomic, and matching costs O(pattern * string) at worst, also for `a*a*a*a*b`.

Oddities kept, because keys and channels are found by them:
- the empty string is matched only by the empty pattern, not by `*`;
- an unclosed bracket ends with the pattern; `[]` matches nothing, `[^]` any byte;
- a range may run backwards, and may end in `]`: `[a-]` is the range `]`..`a`, left unclosed;
- a backslash at the end of the pattern is a plain backslash;
- with more than a thousand stars before its last element a pattern matches nothing, since
  Redis, which nests a call for each of them, goes no deeper;
- ignoring case does not reach escapes in brackets, and folds a range's ends after ordering
  them, which leaves `[Z-a]` empty.
"""

import re
from collections.abc import Callable
from functools import lru_cache

_ANY = frozenset(range(256))
_STAR, _QUESTION, _OPEN, _CLOSE, _ESCAPE, _CARET, _DASH = b"*?[]\\^-"
_STARS_MAX = 1000

Element = frozenset[int] | None  # the bytes that fit; None is a star


def _lower(byte: int) -> int:
    return byte + 32 if 65 <= byte <= 90 else byte


def _fold(byte: int, nocase: bool) -> frozenset[int]:
    char = bytes([byte])
    return frozenset(char.lower() + char.upper()) if nocase else frozenset(char)


def _bracket(pattern: bytes, at: int, nocase: bool) -> tuple[frozenset[int], int]:
    """The bytes that the bracket opened just before `at` accepts, and where it ends."""
    end = len(pattern)
    negated = at < end and pattern[at] == _CARET
    at += negated
    accepted: set[int] = set()
    while at < end:
        byte = pattern[at]
        if byte == _ESCAPE and at + 1 < end:
            accepted.add(pattern[at + 1])
            at += 2
        elif byte == _CLOSE:
            at += 1
            break
        elif at + 2 < end and pattern[at + 1] == _DASH:
            low, high = sorted((byte, pattern[at + 2]))
            if nocase:
                low, high = _lower(low), _lower(high)
                accepted.update(byte for byte in _ANY if low <= _lower(byte) <= high)
            else:
                accepted.update(range(low, high + 1))
            at += 3
        else:
            accepted |= _fold(byte, nocase)
            at += 1
    return (_ANY - accepted if negated else frozenset(accepted)), at


def _elements(pattern: bytes, nocase: bool) -> list[Element]:
    elements: list[Element] = []
    at, end = 0, len(pattern)
    while at < end:
        byte = pattern[at]
        at += 1
        if byte == _STAR:
            if not elements or elements[-1] is not None:
                elements.append(None)
        elif byte == _QUESTION:
            elements.append(_ANY)
        elif byte == _OPEN:
            accepted, at = _bracket(pattern, at, nocase)
            elements.append(accepted)
        else:
            if byte == _ESCAPE and at < end:
                byte = pattern[at]
                at += 1
            elements.append(_fold(byte, nocase))
    return elements


def _expression(accepted: frozenset[int]) -> bytes:
    if accepted == _ANY:
        return b"."
    if not accepted:
        return b"(?!)"
    if len(accepted) == 1:
        return re.escape(bytes(accepted))
    return b"[%s]" % b"".join(b"\\x%02x" % byte for byte in sorted(accepted))


def _general(elements: list[Element]) -> Callable[[bytes], bool]:
    segments = [b""]
    for element in elements:
        if element is None:
            segments.append(b"")
        else:
            segments[-1] += _expression(element)
    first, *inner = segments
    if inner:
        last = inner.pop()
        first += b"".join(b"(?>.*?%s)" % segment for segment in inner) + b".*" + last
    fullmatch = re.compile(first, re.DOTALL).fullmatch
    if elements[:1] == [None]:
        return lambda text: bool(text) and fullmatch(text) is not None
    return lambda text: fullmatch(text) is not None


def _literal(elements: list[Element]) -> bytes | None:
    """The bytes of elements that leave no choice, or None."""
    if all(element is not None and len(element) == 1 for element in elements):
        return b"".join(bytes(element) for element in elements if element is not None)
    return None


@lru_cache(maxsize=1024)
def compile_glob(pattern: bytes, nocase: bool = False) -> Callable[[bytes], bool]:
    """A function that tells whether a byte string fits the pattern. Every pattern is valid.

    Plain strings, `*`, `prefix*`, `*suffix` and `*part*` avoid regular expressions.
    """
    elements = _elements(pattern, nocase)
    if elements == [None]:
        return bool
    if elements[:-1].count(None) > _STARS_MAX:
        return lambda text: False
    stars = (elements[:1] == [None], len(elements) > 1 and elements[-1] is None)
    part = _literal(elements[stars[0] : len(elements) - stars[1]])
    if part is None:
        return _general(elements)
    match stars:
        case (False, False):
            return part.__eq__
        case (False, True):
            return lambda text: text.startswith(part)
        case (True, False):
            return lambda text: text.endswith(part)
        case _:
            return lambda text: part in text
