"""Keys with a time to live that clients of a writable replica have made."""

from __future__ import annotations

from tests.group import Group, Member


def writable_pair(group: Group) -> tuple[Member, Member]:
    """A primary that deletes nothing by itself, and a replica that clients may write to."""
    primary, replica = group.pair()
    primary("DEBUG", "SET-ACTIVE-EXPIRE", 0)
    replica("CONFIG", "SET", "replica-read-only", "no")
    return primary, replica


def tracked(replica: Member) -> int:
    return int(replica.info("stats")["slave_expires_tracked_keys"])


def test_they_expire_here_and_those_of_the_primary_do_not() -> None:
    group = Group()
    primary, replica = writable_pair(group)
    primary("SET", "theirs", "1", "PX", 1000)
    replica("SET", "own", "1", "PX", 1000)
    replica("SELECT", 3)
    replica("SET", "own", "1", "EX", 5)
    replica("SELECT", 0)
    assert tracked(replica) == 2
    group.wait(2000)
    assert replica("DBSIZE") == 1, "the primary's is the primary's to delete"
    group.wait(4000)
    assert replica.info("keyspace").keys() == {"db0"}
    assert tracked(replica) == 0


def test_what_the_primary_says_later_holds() -> None:
    group = Group()
    primary, replica = writable_pair(group)
    for key in ("over", "longer", "gone"):
        replica("SET", key, "1", "PX", 1000)
    primary("SET", "over", "2")
    primary("SET", "longer", "2", "PX", 5000)
    primary("SET", "gone", "2")
    primary("DEL", "gone")
    group.wait(2000)
    assert replica("MGET", "over", "longer", "gone") == [b"2", b"2", None]
    assert replica.engine.ks.expired == 0


def test_an_expired_key_that_is_written_to_here_begins_anew() -> None:
    group = Group()
    primary, replica = writable_pair(group)
    primary("SET", "a", "5", "PX", 1000)
    group.wait(2000)
    assert replica("INCR", "a") == 1
    assert replica("TTL", "a") == -1


def test_writers_delete_what_is_past_its_time_and_readers_do_not() -> None:
    group = Group()
    primary, replica = group.pair(replica_read_only="no")
    primary("DEBUG", "SET-ACTIVE-EXPIRE", 0)
    primary("MSET", "a", 1, "b", 1)
    for key in "ab":
        primary("PEXPIRE", key, 10)
    group.wait(100)
    assert replica("GET", "a") is None
    assert replica("DBSIZE") == 2
    assert replica("PERSIST", "a") == 0
    assert replica("EXPIRE", "b", 100) == 0
    assert replica("DBSIZE") == 0
    assert replica.info("stats")["expired_keys"] == "2"
    assert primary("DBSIZE") == 2


def test_a_read_only_replica_and_a_primary_remember_nothing() -> None:
    group = Group()
    primary, replica = writable_pair(group)
    replica("SET", "own", "1", "EX", 5)
    replica("CONFIG", "SET", "replica-read-only", "yes")
    primary("SET", "theirs", "1", "EX", 5)
    assert tracked(replica) == 1
    replica("REPLICAOF", "NO", "ONE")
    assert tracked(replica) == 0
    replica("SET", "more", "1", "EX", 5)
    assert tracked(replica) == 0
    group.wait(6000)
    assert replica("DBSIZE") == 0, "as a primary it expires everything"


def test_a_full_copy_forgets_them() -> None:
    group = Group()
    _, replica = writable_pair(group)
    replica("SET", "own", "1", "EX", 5)
    replica.follow(group.add("other"))
    group.wait_for_links()
    assert tracked(replica) == 0


def test_a_pause_of_writes_keeps_them() -> None:
    group = Group()
    _, replica = writable_pair(group)
    replica("SET", "own", "1", "PX", 1000)
    replica("CLIENT", "PAUSE", 5000, "WRITE")
    group.wait(3000)
    assert replica("DBSIZE") == 1
    group.wait(3000)
    assert replica("DBSIZE") == 0
