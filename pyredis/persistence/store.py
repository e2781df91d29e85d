"""Putting a file in the place of another, so that at every instant one of them is whole.

The data go to a temporary file, which is synced and renamed; then the folder is synced, so
that the new name survives a power cut, too. Whatever fails, the old file is as it was, and
the temporary one is gone.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from pyredis.ports import Disk

SYNC_INTERVAL_BYTES: Final = 4 << 20
"""With ``gradual``: so much may wait for the medium. A single sync of gigabytes at the end
would hold up everybody else who uses the disk."""


class StoreError(Exception):
    """The file could not be put in place; the text is fit for the log."""


def store(
    disk: Disk, name: str, temporary: str, chunks: Iterable[bytes], gradual: bool = True
) -> None:
    """Write the chunks to a file of that name. Raises StoreError; then nothing has changed.

    Only when the last step fails, the sync of the folder, may the new file be there already.
    """
    _fill(disk, temporary, chunks, gradual)
    try:
        disk.rename(temporary, name)
    except OSError as error:
        with contextlib.suppress(OSError):
            disk.remove(temporary)
        raise StoreError(
            f"Error moving temp DB file {temporary} on the final destination {name} "
            f"(in server root dir {_folder(disk)}): {error.strerror}"
        ) from error
    try:
        disk.sync_folder()
    except OSError as error:
        raise StoreError(f"Failed to fsync directory while saving DB: {error.strerror}") from error


def _fill(disk: Disk, temporary: str, chunks: Iterable[bytes], gradual: bool) -> None:
    try:
        file = disk.create(temporary)
    except OSError as error:
        raise StoreError(
            f"Failed opening the temp RDB file {temporary} (in server root dir "
            f"{_folder(disk)}) for saving: {error.strerror}"
        ) from error
    step = "write"
    unsynced_bytes = 0
    try:
        try:
            for chunk in chunks:
                file.write(chunk)
                unsynced_bytes += len(chunk)
                if gradual and unsynced_bytes >= SYNC_INTERVAL_BYTES:
                    step, unsynced_bytes = "fsync", 0
                    file.sync()
                    step = "write"
            step = "fsync"
            file.sync()
        except BaseException:
            with contextlib.suppress(OSError):
                file.close()
            raise
        step = "close"
        file.close()
    except BaseException as error:
        with contextlib.suppress(OSError):
            disk.remove(temporary)
        if isinstance(error, OSError):
            raise StoreError(
                f"Write error while saving DB to the disk({step}): {error.strerror}"
            ) from error
        raise


def _folder(disk: Disk) -> str:
    try:
        return disk.folder
    except OSError:
        return "unknown"
