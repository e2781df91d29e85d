"""The manifest: every way to be wrong, what a change makes of it, and that it is stored whole."""

from __future__ import annotations

import errno

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pyredis.persistence.manifest import (
    Manifest,
    ManifestError,
    ManifestInDoubt,
    Part,
    decode,
    load,
)
from pyredis.sim.disk import SimDisk

NAME = "appendonly.aof"
FULL = (
    b"file appendonly.aof.2.base.rdb seq 2 type b\n"
    b"file appendonly.aof.1.incr.aof seq 1 type h\n"
    b"file appendonly.aof.2.incr.aof seq 2 type i\n"
)

BAD = {
    b"": "Found an empty AOF manifest",
    b"\n": "line 1\n>>> ''\nInvalid AOF manifest file format",
    b"file a seq 1\n": "line 1\n>>> 'file a seq 1'\nInvalid AOF manifest file format",
    b"file a seq 1 type b x\n": "Invalid AOF manifest file format",
    b"file a/b seq 1 type b\n": "File can't be a path, just a filename",
    b"file a seq 0 type b\n": "Invalid AOF manifest file format",
    b"file a seq 1 type b\nfile c seq 2 type b\n": (
        "line 2\n>>> 'file c seq 2 type b'\nFound duplicate base file information"
    ),
    b"file a seq 2 type i\nfile c seq 2 type i\n": "Found a non-monotonic sequence number",
    b"file a seq 2 type x\n": "Unknown AOF file type",
    b"file a seq 2 type b": "The AOF manifest file contains too long line",
    b"file %b seq 2 type b\n" % (b"a" * 1100): "The AOF manifest file contains too long line",
    b'file "a seq 2 type b\n': "Invalid AOF manifest file format",
    b"# why\nfile a seq 1 type b\n\n": "line 3\n>>> ''\nInvalid AOF manifest file format",
    b"seq 1 type b newkey v\n": "Invalid AOF manifest file format",
}


@pytest.mark.parametrize("text", BAD, ids=lambda text: text[:40].decode())
def test_what_is_odd_is_fatal_and_named(text: bytes) -> None:
    with pytest.raises(ManifestError) as caught:
        decode(text)
    assert str(caught.value).startswith("*** FATAL AOF MANIFEST FILE ERROR ***\n")
    assert BAD[text] in str(caught.value)


def test_comments_and_unknown_keys_are_passed_over() -> None:
    found = decode(b"# made by hand\nfile a.aof newkey v SEQ 3 type i\n")
    assert found == Manifest(increments=(Part("a.aof", 3, "i"),), increment_seq=3)
    assert decode(b"# nothing else\n").empty


def test_it_is_written_as_it_was_read() -> None:
    assert decode(FULL).encode() == FULL
    assert [part.name for part in decode(FULL).parts] == [
        "appendonly.aof.2.base.rdb",
        "appendonly.aof.2.incr.aof",
    ]


@given(st.text(st.characters(blacklist_characters="/\\\0"), min_size=1, max_size=30))
def test_any_name_survives(name: str) -> None:
    raw = (
        name.encode("utf-8", "surrogateescape")
        if name.isascii()
        else name.encode("utf-8", "replace")
    )
    name = raw.decode("utf-8", "surrogateescape")
    made = Manifest().with_old_file(name)
    assert decode(made.encode()) == made


def test_a_rewrite_in_steps() -> None:
    first = Manifest().with_base(NAME, "rdb").with_increment(NAME)
    assert first.encode() == (
        b"file appendonly.aof.1.base.rdb seq 1 type b\n"
        b"file appendonly.aof.1.incr.aof seq 1 type i\n"
    )
    begun = first.with_increment(NAME)
    done = begun.with_base(NAME, "aof").rewritten(keep=1)
    assert done.encode() == (
        b"file appendonly.aof.2.base.aof seq 2 type b\n"
        b"file appendonly.aof.1.incr.aof seq 1 type h\n"
        b"file appendonly.aof.1.base.rdb seq 1 type h\n"
        b"file appendonly.aof.2.incr.aof seq 2 type i\n"
    )
    assert done.with_history(()).encode().count(b"\n") == 2


def test_names_in_history_are_not_given_again() -> None:
    """Else a new increment would be deleted as the old one."""
    left = decode(b"file a.2.base.rdb seq 2 type b\nfile a.7.incr.aof seq 7 type h\n")
    assert left.with_increment("a").increments[-1].name == "a.8.incr.aof"


def test_store_and_load() -> None:
    disk = SimDisk()
    folder = disk.sub("appendonlydir")
    folder.make()
    assert load(folder, NAME) is None
    made = decode(FULL)
    made.store(folder, NAME)
    assert disk.files() == {"appendonlydir/appendonly.aof.manifest": FULL}
    assert load(folder, NAME) == made


@pytest.mark.parametrize("action", ["create", "write", "sync", "rename"])
def test_what_fails_leaves_the_old_one(action: str) -> None:
    disk = SimDisk()
    decode(FULL).store(disk, NAME)
    disk.faults[action] = errno.ENOSPC
    with pytest.raises(ManifestError) as caught:
        Manifest().with_old_file("x").store(disk, NAME)
    assert "No space left on device" in str(caught.value)
    assert disk.files() == {"appendonly.aof.manifest": FULL}


def test_after_the_rename_it_is_in_doubt() -> None:
    disk = SimDisk()
    decode(FULL).store(disk, NAME)
    new = Manifest().with_old_file("x")
    calls = iter((0, errno.EIO))

    class Failing(SimDisk):
        def sync_folder(self, name: str = "") -> None:
            code = next(calls)
            if code:
                raise OSError(code, "Input/output error")

    failing = Failing()
    with pytest.raises(ManifestInDoubt, match="Fail to fsync AOF directory /data"):
        new.store(failing, NAME)
    assert load(failing, NAME) == new
