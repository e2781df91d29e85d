"""The files of the append-only log: where they are, which of them count, and which have to go.

All parts lie in a folder of their own. Which of them make up the log says the manifest, of which
the one in force is kept here; it changes only together with the one on disk (``store``).

*History* are parts that a rewrite has made superfluous. The manifest lists them until they are
gone, so whatever interrupts their deletion, the next rewrite or the next start goes on with it.
Redis forgets a file that cannot be deleted; here it stays listed.

A server before version 7 had a single file beside its RDB file: that becomes the first base.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pyredis.persistence import manifest
from pyredis.persistence.aof_loading import AofError
from pyredis.persistence.manifest import Manifest, ManifestError, ManifestInDoubt

if TYPE_CHECKING:
    from pyredis.engine import Engine
    from pyredis.ports import Disk


class AofFiles:
    """The parts of one engine's log. A server without a disk has none."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self.disk: Disk | None = None
        self.manifest = Manifest()

    @property
    def filename(self) -> str:
        """What all names begin with."""
        return self._engine.config.appendfilename

    @property
    def waiting_name(self) -> str:
        """The increment for which there is no base yet."""
        return f"temp-{self.filename}.incr"

    @property
    def folder(self) -> Disk | None:
        """The folder of the parts, None on a server without a disk."""
        if self.disk is None:
            return None
        return self.disk.sub(self._engine.config.appenddirname)

    def make(self, folder: Disk) -> None:
        """Have the folder be there. Raises AofError."""
        try:
            folder.make()
        except OSError as error:
            raise AofError(
                f"Can't open or create append-only dir {self._engine.config.appenddirname}: "
                f"{error.strerror}"
            ) from error

    # The manifest

    def read(self) -> None:
        """Put in force what the folder's manifest says. Raises AofError."""
        folder = self.folder
        if folder is None:
            return
        try:
            self.manifest = manifest.load(folder, self.filename) or Manifest()
        except ManifestError as error:
            raise AofError(str(error)) from error

    def store(self, changed: Manifest) -> None:
        """Put a manifest in force. Raises ManifestError: then the one before still is.

        With ManifestInDoubt the new one is, but a power cut may bring the old one back.
        """
        folder = self.folder
        assert folder is not None
        try:
            changed.store(folder, self.filename)
        except ManifestInDoubt:
            self.manifest = changed
            raise
        self.manifest = changed

    def with_base(self, before: Manifest) -> Manifest:
        """A manifest with a new base, of the kind that is wanted."""
        suffix = "rdb" if self._engine.config.aof_use_rdb_preamble else "aof"
        return before.with_base(self.filename, suffix)

    # Files

    def rename(self, temporary: str, name: str, kind: str) -> None:
        """Give a part of that kind its name. Raises AofError."""
        folder = self.folder
        assert folder is not None
        try:
            folder.rename(temporary, name)
        except OSError as error:
            raise AofError(
                f"Error trying to rename the temporary AOF {kind} file {temporary} into {name}: "
                f"{error.strerror}"
            ) from error
        self._engine.log(
            "notice",
            f"Successfully renamed the temporary AOF {kind} file {temporary} into {name}",
        )

    def remove(self, name: str) -> bool:
        """Delete a file; returns whether it is gone."""
        folder = self.folder
        if folder is not None:
            try:
                folder.remove(name)
            except FileNotFoundError:
                return True
            except OSError:
                return False
        return True

    def delete_history(self) -> None:
        """Take away the files that are superfluous; those that will not go stay listed."""
        log, history = self._engine.log, self.manifest.history
        if self.folder is None or not history or self._engine.config.aof_disable_auto_gc:
            return
        for part in history:
            log("notice", f"Removing the history file {part.name} in the background")
        left = tuple(part for part in history if not self.remove(part.name))
        if left:
            names = ", ".join(part.name for part in left)
            log("warning", f"Can't remove {names}: the next rewrite or start tries again")
        if left != history:
            try:
                self.store(self.manifest.with_history(left))
            except ManifestError as error:
                log("warning", str(error))

    def take_old_file(self) -> None:
        """Make the single file of a server before version 7 the base. Raises AofError.

        That may have been begun before: then there is a manifest, but the file is not yet in its
        place.
        """
        disk, folder = self.disk, self.folder
        assert disk is not None
        assert folder is not None
        name, found, folder_name = self.filename, self.manifest, self._engine.config.appenddirname
        begun = (
            found.base is not None
            and found.base.name == name
            and not found.increments
            and not folder.exists(name)
        )
        if not disk.exists(name) or not (found.empty or begun):
            return
        self.make(folder)
        try:
            if not begun:
                self.store(Manifest().with_old_file(name))
            disk.rename(name, f"{folder_name}/{name}")
            folder.sync_folder()
            disk.sync_folder()
        except ManifestError as error:
            raise AofError(str(error)) from error
        except OSError as error:
            raise AofError(
                f"Error trying to move the old AOF file {name} into dir {folder_name}: "
                f"{error.strerror}"
            ) from error
        self._engine.log(
            "notice",
            f"Successfully migrated an old-style AOF file ({name}) into the AOF directory "
            f"({folder_name}).",
        )
