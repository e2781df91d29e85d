"""Tracebacks for the log, with and without what clients have sent."""

from __future__ import annotations

from pyredis.defects import story


def failing(hidden: bool) -> str:
    nothing: dict[bytes, int] = {}
    try:
        try:
            return str(nothing[b"key:of:a:client"])
        except KeyError as error:
            raise ValueError(f"no {error}") from error
    except ValueError:
        return story(hidden)


def test_story_tells_all() -> None:
    assert "KeyError: b'key:of:a:client'" in failing(False)


def test_hidden_story_tells_where_and_of_what_kind() -> None:
    text = failing(True)
    assert "in failing" in text
    assert "KeyError" in text
    assert "ValueError" in text
    assert "no b'" not in text
    assert "KeyError: " not in text
