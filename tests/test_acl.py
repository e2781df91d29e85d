"""Rules of users: what they allow, how they are printed, what they are refused for."""

from __future__ import annotations

import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pyredis.acl import DEFAULT, Acl, AclError, check_config_user
from pyredis.acl_log import AclLog
from pyredis.acl_rules import READ, WRITE, Denial, RuleError, Vocabulary
from pyredis.acl_user import UnmatchedParenthesis, User, merge_selectors
from pyredis.config import Config, ConfigError
from pyredis.quoting import split_args
from pyredis.server import command_table

TABLE = command_table()
WORDS = Vocabulary.of(TABLE)
HASH = hashlib.sha256(b"pw").hexdigest()


def user(rules: str = "") -> User:
    """A user made by rules, separated by blanks."""
    made = User(b"joe", WORDS)
    for rule in merge_selectors(rules.encode().split()):
        made.apply(rule)
    return made


def verdict(who: User, request: str) -> str:
    """``ok``, or the reason with the argument at fault."""
    argv = request.encode().split()
    entry = TABLE.find(argv)
    assert entry is not None
    denial = who.denies(entry, argv)
    return "ok" if denial is None else f"{denial.reason} {argv[denial.at].decode()}"


def acl(**settings: str) -> Acl:
    config = Config()
    config.set([(name.replace("_", "-"), value) for name, value in settings.items()])
    return Acl(TABLE, config)


# Commands


@pytest.mark.parametrize(
    ("rules", "printed"),
    [
        ("", "-@all"),
        ("+get +set", "-@all +get +set"),
        ("+GET +get +gEt", "-@all +get"),
        ("+get -get", "-@all -get"),
        ("+@read -@read", "-@all -@read"),
        ("+@READ", "-@all +@read"),
        ("+get +@read +set", "-@all +get +@read +set"),
        ("+get allcommands", "+@all"),
        ("+get +@all -@all", "-@all"),
        ("+@all -config|get", "+@all -config|get"),
        ("+config|get -config|set +config", "-@all +config"),
        ("+config +config|get -config|set +config", "-@all +config"),
        ("+config +config|get", "-@all +config +config|get"),
        ("+select|0 +select|1 +select|0", "-@all +select|1 +select|0"),
        ("+SELECT|A", "-@all +select|a"),
        ("+select|0 -select", "-@all -select"),
        ("-@dangerous", "-@all -@dangerous"),
    ],
)
def test_command_rules_are_kept_in_order(rules: str, printed: str) -> None:
    assert user(rules).selectors[0].describe_commands().decode() == printed


@pytest.mark.parametrize(
    ("rules", "request_", "expected"),
    [
        ("~*", "GET a", "command GET"),
        ("~* +get", "GET a", "ok"),
        ("~* +@read", "GET a", "ok"),
        ("~* +@all -@read", "GET a", "command GET"),
        ("~* -@read +@all", "GET a", "ok"),
        ("+config", "CONFIG GET x", "ok"),
        ("+config -config|set", "CONFIG GET x", "ok"),
        ("+config -config|set", "CONFIG SET x y", "command CONFIG"),
        ("+config|get", "CONFIG GET x", "ok"),
        ("+config|get", "CONFIG SET x y", "command CONFIG"),
        ("-@slow", "CONFIG GET x", "command CONFIG"),
        ("+@all -@slow", "CONFIG HELP", "command CONFIG"),
        ("+select|0", "SELECT 0", "ok"),
        ("+select|0", "SELECT 1", "command SELECT"),
        ("+select|0 -select", "SELECT 0", "command SELECT"),
        ("+select|0 -@connection", "SELECT 0", "command SELECT"),
        ("+select +select|0", "SELECT 1", "ok"),
        ("+echo|A", "ECHO a", "ok"),
        ("-@all", "AUTH a b", "ok"),
        ("-@all", "HELLO 3", "ok"),
        ("-@all", "PING", "command PING"),
    ],
)
def test_commands(rules: str, request_: str, expected: str) -> None:
    assert verdict(user(rules), request_) == expected


# Keys and channels


@pytest.mark.parametrize(
    ("rules", "request_", "expected"),
    [
        ("+@all", "GET a", "key a"),
        ("+@all ~a*", "GET ab", "ok"),
        ("+@all ~a*", "MGET ab cd", "key cd"),
        ("+@all %R~a %W~b", "COPY a b", "ok"),
        ("+@all %R~a %W~b", "COPY b a", "key b"),
        ("+@all %R~a", "SET a 1", "key a"),
        ("+@all %W~a", "SET a 1", "ok"),
        ("+@all %W~a", "SET a 1 GET", "key a"),
        ("+@all %W~a", "GETDEL a", "key a"),
        ("+@all %W~a %R~a", "GETDEL a", "ok"),
        ("+@all %R~a", "EXISTS a", "ok"),
        ("+@all %W~a", "EXISTS a", "ok"),  # learns nothing of the value
        ("+@all %R~a", "DEL a", "key a"),
        ("+@all %R~a", "BITFIELD a GET u8 0", "ok"),
        ("+@all %R~a", "BITFIELD a SET u8 0 1", "key a"),
        ("+@all %R~a", "SORT a STORE b", "key b"),
        ("+@all ~a", "ZUNIONSTORE a 2 a b", "key b"),
        ("+@all ~a", "ZUNIONSTORE a 9 a b", "ok"),  # it is in error, so has no keys
        ("+@all ~a", "OBJECT ENCODING b", "key b"),
        ("+@all", "PING", "ok"),
        ("+@all ~* resetkeys ~a", "GET b", "key b"),
        ("+@all &a*", "PUBLISH ab x", "ok"),
        ("+@all &a*", "PUBLISH b a", "channel b"),
        ("+@all &a*", "SPUBLISH b a", "channel b"),
        ("+@all &a*", "SUBSCRIBE ab b", "channel b"),
        ("+@all &a*", "SSUBSCRIBE ab b", "channel b"),
        ("+@all &a*", "PSUBSCRIBE a*", "ok"),
        ("+@all &a*", "PSUBSCRIBE ab", "channel ab"),
        ("+@all &a*", "UNSUBSCRIBE b", "ok"),
        ("+@all", "PUBSUB CHANNELS", "ok"),
        ("+@all allchannels", "PSUBSCRIBE *", "ok"),
    ],
)
def test_keys_and_channels(rules: str, request_: str, expected: str) -> None:
    assert verdict(user(rules), request_) == expected


def test_equal_patterns_join_their_permissions() -> None:
    root = user("%R~a ~b %W~a %rw~c %wr~d").selectors[0]
    assert root.describe_keys() == b"~a ~b ~c ~d"
    assert user("%R~a %W~b").selectors[0].describe_keys() == b"%R~a %W~b"


def test_all_keys_by_a_pattern() -> None:
    argv = [b"SORT", b"a"]
    entry = TABLE.find(argv)
    assert entry is not None

    def full(rules: str, permission: int = READ) -> bool:
        return user(rules).allows_with_all_keys(entry, argv, permission)

    assert full("+sort ~*")
    assert full("+sort %R~*")
    assert not full("+sort %R~*", WRITE)
    assert not full("+sort ~a")
    assert not full("+sort ~**")
    assert not full("+sort ~a (+get ~*)")
    assert full("+sort ~a (+sort ~*)")
    assert full("+@all ~* &*")


# Selectors


def test_rights_of_selectors_do_not_add_up() -> None:
    who = user("+get ~a (+set ~b) (+publish &c)")
    assert verdict(who, "GET a") == "ok"
    assert verdict(who, "SET b 1") == "ok"
    assert verdict(who, "PUBLISH c x") == "ok"
    assert verdict(who, "GET b") == "key b"
    assert verdict(who, "SET a 1") == "key a"
    assert verdict(who, "DEL a") == "command DEL"
    who.apply(b"clearselectors")
    assert verdict(who, "SET b 1") == "command SET"


def test_the_reason_that_came_furthest_is_told() -> None:
    who = user("+mget ~a ~b (+mget ~a) (~*)")
    assert who.denies(TABLE.entries["MGET"], [b"MGET", b"a", b"b", b"c"]) == Denial("key", 3)


def test_merging_what_stands_between_parentheses() -> None:
    assert merge_selectors([b"on", b"(~a", b"+get)", b"(+set)"]) == [b"on", b"(~a +get)", b"(+set)"]
    assert merge_selectors([b"(", b")"]) == [b"( )"]
    assert merge_selectors([b"(~a", b"(~b", b"+get)", b")"]) == [b"(~a (~b +get)", b")"]
    with pytest.raises(UnmatchedParenthesis, match=r"'\(~a'"):
        merge_selectors([b"(~a", b"+get"])


@pytest.mark.parametrize("rule", ["(on)", "(>pw)", "((~a))", "(~a reset)", "(clearselectors)"])
def test_selectors_hold_rights_only(rule: str) -> None:
    with pytest.raises(RuleError, match="Syntax error"):
        user().apply(rule.encode())


# Users


def test_passwords() -> None:
    who = user("on >pw")
    assert who.accepts(b"pw")
    assert not who.accepts(b"other")
    who.apply(b"#" + hashlib.sha256(b"two").hexdigest().encode())
    assert who.accepts(b"two")
    who.apply(b"<pw")
    assert not who.accepts(b"pw")
    who.apply(b"!" + hashlib.sha256(b"two").hexdigest().encode())
    assert not who.accepts(b"two")
    who.apply(b"nopass")
    assert who.accepts(b"anything")
    who.apply(b">pw")
    assert not who.accepts(b"anything")
    who.apply(b"off")
    assert not who.accepts(b"pw")


@pytest.mark.parametrize(
    ("rule", "reason"),
    [
        ("<pw", "does not exist"),
        ("#abc", "64 characters"),
        ("#" + HASH.upper(), "64 characters"),
        ("#" + HASH + "\n", "64 characters"),
        ("!" + HASH, "does not exist"),
        ("foo", "Syntax error"),
        ("~a b", "Syntax error"),
        ("&a\0b", "Syntax error"),
        ("%~a", "Syntax error"),
        ("%RR~a", "Syntax error"),
        ("+foo", "Unknown command"),
        ("+@foo", "Unknown command"),
        ("-get|x", "Unknown command"),
        ("+config|foo", "Unknown command"),
        ("+get|a|b", "Unknown command"),
        ("+config|get|a", "first-arg of a subcommand"),
        ("+get|", "Syntax error"),
    ],
)
def test_bad_rules_change_nothing(rule: str, reason: str) -> None:
    who = user("on +get")
    before = who.describe()
    with pytest.raises(RuleError, match=reason):
        who.apply(rule.encode())
    who.apply(b"")
    assert who.describe() == before


def test_reset_makes_a_new_user() -> None:
    who = user("on nopass ~* &* +@all (+get) skip-sanitize-payload")
    assert who.unrestricted
    who.apply(b"reset")
    assert not who.unrestricted
    assert who.describe() == b"user joe off sanitize-payload resetchannels -@all"


def test_unrestricted_is_who_may_do_everything() -> None:
    assert user("~* &* +@all").unrestricted
    assert user("~* &* +@all -get +get").unrestricted
    assert user("(~* &* +@all)").unrestricted
    assert not user("~* &* +@all -debug").unrestricted
    assert not user("~* +@all (~* &*)").unrestricted


_RULES = (
    "on off nopass resetpass >pw >other sanitize-payload skip-sanitize-payload ~* ~a* %R~b %W~b "
    "%RW~c ~q\"x resetkeys &* &a* &b'c resetchannels +@all -@all +get -get +config -config|set "
    '+config|get +@read -@string +select|0 -select (~a) (%R~b_&c_+@read_-get) (~q"x_+get) '
    "clearselectors"
)


@given(st.lists(st.sampled_from(_RULES.split()), max_size=12))
def test_what_is_printed_makes_the_same_user(rules: list[str]) -> None:
    made = User(b"joe", WORDS)
    for rule in rules:
        try:
            made.apply(rule.replace("_", " ").replace('(~q"x', r'("~q\"x"').encode())
        except RuleError:
            assert rule[0] in "~%&"  # a pattern after the pattern for all
    config = Config()
    source = Acl(TABLE, config)
    source.users[b"joe"] = made
    again = Acl(TABLE, config).parsed("file", source.file_text())[b"joe"]
    assert again.describe() == made.describe()
    for old, new in zip(made.selectors, again.selectors, strict=True):
        assert (old.commands, old.first_args) == (new.commands, new.first_args)
        assert old.describe() == new.describe()
    lines = [tuple(split(line)) for line in source.config_lines()]
    configured, _ = source.configured(lines)
    assert configured[1].describe() == made.describe()


def split(line: str) -> list[str]:
    """The words of a configuration line behind ``user``."""
    return [word.decode() for word in split_args(line.encode())[1:]]


# All users of a server


def test_a_rejected_change_has_no_effect() -> None:
    users = acl()
    with pytest.raises(AclError, match=r"Error in ACL SETUSER modifier '\+foo': Unknown"):
        users.changed_user(DEFAULT, [b"off", b"+foo"])
    with pytest.raises(AclError, match="Unmatched parenthesis"):
        users.changed_user(b"joe", [b"(~a"])
    with pytest.raises(AclError, match="can't contain spaces"):
        users.changed_user(b"a b", [])
    assert users.default.enabled
    assert users.names() == [b"default"]
    users.changed_user(DEFAULT, [b"off"])
    assert users.open


def test_channels_of_new_users() -> None:
    users = acl(acl_pubsub_default="allchannels")
    joe = users.changed_user(b"joe", [b"(+get)"])
    assert joe.describe() == b"user joe off sanitize-payload &* -@all (&* -@all +get)"
    reset = users.changed_user(b"joe", [b"resetchannels", b"reset"])
    assert reset.describe() == b"user joe off sanitize-payload &* -@all"


def test_the_password_of_the_default_user() -> None:
    users = acl()
    users.users[DEFAULT] = users.default_with_password(b"pw")
    assert not users.open
    assert users.authenticate(DEFAULT, b"pw")
    assert not users.authenticate(DEFAULT, b"")
    assert not users.authenticate(b"joe", b"pw")
    assert users.default_with_password(b"").nopass


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("usr x", "f:1 should start with user keyword followed by the username. "),
        ("\n# no comments", "f:2 should start with user keyword followed by the username. "),
        ("user", "f:1 should start with user keyword followed by the username. "),
        ("user a\tb", "'f:1: username 'a\tb' contains invalid characters. "),
        ("user a\nuser a", "WARNING: Duplicate user 'a' found on line 2. "),
        ("user a (~x", "f:1: Unmatched parenthesis in selector definition. "),
        (
            "user a +foo zzz >pw yyy +@bar",
            "f:1: Error in applying operation '+foo': Unknown command or category name in ACL. "
            "f:1: Syntax error. "
            "f:1: Error in applying operation '+@bar': Unknown command or category name in ACL. ",
        ),
    ],
)
def test_errors_in_acl_files(text: str, complaint: str) -> None:
    with pytest.raises(AclError) as raised:
        acl().parsed("f", text.encode())
    assert str(raised.value) == (
        complaint
        + "WARNING: ACL errors detected, no change to the previously active ACL rules was performed"
    )


def test_acl_files() -> None:
    users = acl().parsed("f", b"user joe on  >pw \r\n\n user  off\nuser ann on (~a +get)\n")
    assert sorted(users) == [b"", b"ann", b"default", b"joe"]
    assert users[b"joe"].accepts(b"pw")
    assert users[DEFAULT].unrestricted
    only = acl().parsed("f", b"user default on nopass ~* +@all")
    assert not only[DEFAULT].selectors[0].all_channels


def test_users_of_the_configuration_file() -> None:
    users, warnings = acl().configured([("joe", "on", "(~a", "+get)"), ("default", "+get")])
    assert users[0].describe().endswith(b"(~a resetchannels -@all +get)")
    assert users[1].describe() == b"user default off sanitize-payload resetchannels -@all +get"
    assert [warning[:31] for warning in warnings] == ["The user 'default' is disabled "]
    with pytest.raises(AclError, match=r"rule '\+foo' for the user named 'joe': Unknown command"):
        acl().configured([("joe", "+foo")])
    with pytest.raises(AclError, match="Spaces not allowed"):
        acl().configured([("a b",)])


def test_lines_of_the_configuration_file_are_checked() -> None:
    check_config_user(TABLE, Config(), ("joe", "on", "+unknown", "(~a", "+get)"))
    with pytest.raises(ConfigError, match="Error in user declaration 'foo': Syntax error"):
        check_config_user(TABLE, Config(), ("joe", "foo"))
    with pytest.raises(ConfigError, match="Unmatched parenthesis"):
        check_config_user(TABLE, Config(), ("joe", "(~a"))


# The log


def test_equal_refusals_become_one_entry() -> None:
    log = AclLog()

    def add(now_ms: int, what: bytes = b"get", limit: int = 128) -> None:
        log.add(now_ms, "command", "toplevel", what, b"joe", b"id=%d" % now_ms, limit)

    add(0)
    add(50_000)
    add(100_000)
    assert [(entry.count, entry.client) for entry in log.entries] == [(3, b"id=100000")]
    entry = log.entries[0]
    assert (entry.number, entry.created_ms, entry.updated_ms) == (0, 0, 100_000)
    add(160_001)
    assert [entry.count for entry in log.entries] == [1, 3]
    for number in range(10):
        add(160_002, b"other %d" % number)
    add(160_003)
    assert len(log.entries) == 13, "too many in between"
    add(160_003, b"last", limit=5)
    assert [entry.object for entry in log.entries][:2] == [b"last", b"get"]
    assert len(log.entries) == 5
    add(160_003, b"none", limit=0)
    assert not log.entries
