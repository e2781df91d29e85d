"""The story of a defect of ours, for the log: where it happened, and what went wrong.

The text of an exception may quote what a client has sent (``KeyError: b'name:of:a:key'``). With
``hide-user-data-from-log`` only the places and the kinds of exceptions are told.
"""

from __future__ import annotations

import sys
import traceback


def story(hidden: bool, error: BaseException | None = None) -> str:
    """The traceback of an exception, the one being handled if none is given.

    Without user data if ``hidden``.
    """
    error = error or sys.exc_info()[1]
    if not hidden:
        return "".join(traceback.format_exception(error))
    lines: list[str] = []
    while error is not None:  # from the last one to what it came from
        lines += traceback.format_tb(error.__traceback__)
        lines.append(f"{type(error).__qualname__}, whose text is hidden\n")
        error = error.__cause__ or error.__context__
    return "".join(lines)
