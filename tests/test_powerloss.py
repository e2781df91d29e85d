"""Some of the stories of ``powerloss.py``; and that it notices a server that breaks its word."""

from __future__ import annotations

import pytest

from pyredis.persistence import aof_load
from pyredis.sim.disk import SimOutput
from tests import powerloss

CHUNK = 50


@pytest.mark.parametrize("first", range(0, 4 * CHUNK, CHUNK))
def test_stories(first: int) -> None:
    starts, _ = powerloss.run(range(first, first + CHUNK))
    assert starts == CHUNK * powerloss.LIVES


def test_a_server_that_does_not_sync_is_found_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(SimOutput, "sync", lambda self: None)
    with pytest.raises(BaseException) as caught:
        powerloss.run(range(CHUNK))
    assert any(note.startswith("seed ") for note in caught.value.__notes__)


def test_a_reader_that_trusts_lengths_is_found_out(monkeypatch: pytest.MonkeyPatch) -> None:
    """Zeros where an argument should end are no end of an argument."""
    honest = aof_load.take

    def trusting(data: bytes, at: int) -> tuple[list[bytes], int]:
        return honest(data[:at] + data[at:].replace(b"\0\0", b"\r\n"), at)

    monkeypatch.setattr("pyredis.persistence.aof_loading.take", trusting)
    with pytest.raises(BaseException):  # noqa: B017  whatever it comes to
        powerloss.run(range(4 * CHUNK))
