"""What byte strings take in CPython's memory.

A ``bytes`` object has 33 bytes beside its content, and the allocator deals in units of 16, so
one of n bytes takes n + 33 rounded up to them. Those of no or one byte exist once in a process
and weigh nothing.

Collections keep the sum of their elements' weights in ``payload`` while somebody wants it
(``pyredis.account``): None until it is first counted, then kept in step by every method that
adds or removes. While it is None that costs a comparison.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

UNIT_BYTES: Final = 16


def weight(data: bytes) -> int:
    """What a byte string takes."""
    size = len(data)
    return size + 48 & -16 if size > 1 else 0


def weights(items: Iterable[bytes]) -> int:
    """What all of them take together. O(n)."""
    return sum([size + 48 & -16 for size in map(len, items) if size > 1])
