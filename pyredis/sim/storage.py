"""A simulated machine's disk, with what a running server adds to it: time, and a child at work.

Time: the owner is told of each action, and makes a sync take as long as it likes. A child's
work takes time too, but its job is run in one go, so what it does to the disk is *recorded*
and done when its time has come: until then the files are as they were. If the machine loses
power, or the server is killed and its child with it, some first part of the recorded steps has
been done.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from pyredis.sim.disk import SimDisk, SimOutput

if TYPE_CHECKING:
    from pyredis.ports import Output

Step = Callable[[], None]


class NodeDisk(SimDisk):
    """A ``SimDisk`` that tells its owner what it does, and can put work off."""

    def __init__(self, on_action: Callable[[str], None]) -> None:
        super().__init__()
        self._on_action = on_action
        self._steps: list[Step] | None = None

    def act(self, action: str) -> None:
        """Something is about to change."""
        super().act(action)
        self._on_action(action)

    # A child's work

    def record(self, job: Callable[[], bool]) -> tuple[bool, list[Step]]:
        """Run a child's job; returns what it returned, and what it would do to the disk."""
        assert self._steps is None
        self._steps = []
        try:
            return job(), self._steps
        finally:
            self._steps = None

    def put_off(self, step: Step) -> bool:
        """While a child's job is recorded: have that done in its turn. Else False."""
        if self._steps is None:
            return False
        self._steps.append(step)
        return True

    def create(self, name: str) -> Output:  # type: ignore[override]
        """A new file, or an old one emptied."""
        if self._steps is None:
            return super().create(name)
        return RecordedOutput(self._steps, lambda: super(NodeDisk, self).create(name))

    def append(self, name: str) -> Output:  # type: ignore[override]
        """A file to be written at its end."""
        if self._steps is None:
            return super().append(name)
        return RecordedOutput(self._steps, lambda: super(NodeDisk, self).append(name))

    def rename(self, old: str, new: str) -> None:
        """Give a file another name."""
        if self._steps is None:
            super().rename(old, new)
        else:
            self._steps.append(lambda: super(NodeDisk, self).rename(old, new))

    def remove(self, name: str) -> None:
        """Take a file away."""
        if self._steps is None:
            super().remove(name)
        else:
            self._steps.append(lambda: super(NodeDisk, self).remove(name))

    def sync_folder(self, name: str = "") -> None:
        """Make the changes of names in it durable."""
        if self._steps is None:
            super().sync_folder(name)
        else:
            self._steps.append(lambda: super(NodeDisk, self).sync_folder(name))


class RecordedOutput:
    """A file that a child writes: what is done to it is done later."""

    def __init__(self, steps: list[Step], open_: Callable[[], SimOutput]) -> None:
        self._steps = steps
        self._file: SimOutput | None = None
        self.size = 0
        self.syncing = False
        self.sync_error: OSError | None = None

        def begin() -> None:
            self._file = open_()

        steps.append(begin)

    def _do(self, what: Callable[[SimOutput], None]) -> None:
        def step() -> None:
            assert self._file is not None
            what(self._file)

        self._steps.append(step)

    def write(self, data: bytes) -> None:
        """Append all of it."""
        self.size += len(data)
        self._do(lambda file: file.write(data))

    def sync(self) -> None:
        """Make all of it safe."""
        self._do(lambda file: file.sync())

    def sync_later(self) -> None:
        """A child has nothing else to do meanwhile."""
        self.sync()

    def truncate(self, size: int) -> None:
        """Cut it to so many bytes."""
        self.size = size
        self._do(lambda file: file.truncate(size))

    def close(self) -> None:
        """Nothing is written to it any more."""
        self._do(lambda file: file.close())
