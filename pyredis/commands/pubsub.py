"""Messages: subscribing to channels, patterns and shard channels, and publishing.

The confirmations are messages themselves: one push (under RESP2 an array) for every
name, with the number of subscriptions left. PUBLISH and SPUBLISH propagate although they
change no data, since subscribers may sit at a replica; the AOF has no use for them.

Source: redis.io, "Redis Pub/Sub".
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from pyredis.commands.args import subcommand_error
from pyredis.commands.help import help_reply
from pyredis.commands.registry import Group, first, span
from pyredis.context import Context
from pyredis.glob import compile_glob
from pyredis.resp import Error, PushReply, Replies, Reply
from pyredis.session import Session

command = Group("pubsub")

Change = Callable[[Session, bytes], bool]


def _change(ctx: Context, word: bytes, change: Change, names: Iterable[bytes]) -> Reply:
    """Subscribe to, or drop, each name; returns the confirmations."""
    session = ctx.session
    replies = Replies()
    for name in names:
        change(session, name)
        replies.append(PushReply([word, name, _count(session, word)]))
    if not replies:  # nothing was left to drop
        replies.append(PushReply([word, None, _count(session, word)]))
    ctx.engine.refresh(session)
    return replies


def _count(session: Session, word: bytes) -> int:
    if word in (b"ssubscribe", b"sunsubscribe"):
        return len(session.shard_channels)
    return session.subscriptions


@command(
    "SUBSCRIBE",
    arity=-2,
    flags="pubsub noscript loading stale",
    since="2.0.0",
    complexity="O(N) where N is the number of channels to subscribe to.",
    usage="channel [channel ...]",
)
def subscribe(ctx: Context, *channels: bytes) -> Reply:
    """Has the messages to these channels sent to the client."""
    return _change(ctx, b"subscribe", ctx.engine.pubsub.subscribe, channels)


@command(
    "UNSUBSCRIBE",
    arity=-1,
    flags="pubsub noscript loading stale",
    since="2.0.0",
    complexity="O(N) where N is the number of clients already subscribed to a channel.",
    usage="[channel [channel ...]]",
)
def unsubscribe(ctx: Context, *channels: bytes) -> Reply:
    """Ends subscriptions to channels, by default all of them."""
    names = channels or tuple(ctx.session.channels)
    return _change(ctx, b"unsubscribe", ctx.engine.pubsub.unsubscribe, names)


@command(
    "PSUBSCRIBE",
    arity=-2,
    flags="pubsub noscript loading stale",
    since="2.0.0",
    complexity="O(N) where N is the number of patterns the client is already subscribed to.",
    usage="pattern [pattern ...]",
)
def psubscribe(ctx: Context, *patterns: bytes) -> Reply:
    """Has the messages to all channels that fit a pattern sent to the client."""
    return _change(ctx, b"psubscribe", ctx.engine.pubsub.psubscribe, patterns)


@command(
    "PUNSUBSCRIBE",
    arity=-1,
    flags="pubsub noscript loading stale",
    since="2.0.0",
    complexity="O(N+M) where N is the number of patterns the client is already subscribed and M "
    "is the number of total patterns subscribed in the system (by any client).",
    usage="[pattern [pattern ...]]",
)
def punsubscribe(ctx: Context, *patterns: bytes) -> Reply:
    """Ends subscriptions to patterns, by default all of them."""
    names = patterns or tuple(ctx.session.patterns)
    return _change(ctx, b"punsubscribe", ctx.engine.pubsub.punsubscribe, names)


@command(
    "SSUBSCRIBE",
    arity=-2,
    flags="pubsub noscript loading stale",
    keys=span("not_key"),
    since="7.0.0",
    complexity="O(N) where N is the number of shard channels to subscribe to.",
    usage="shardchannel [shardchannel ...]",
)
def ssubscribe(ctx: Context, *channels: bytes) -> Reply:
    """Has the messages to these shard channels sent to the client."""
    if ctx.ks.unit.depth:  # in a transaction, where only SUBSCRIBE and PSUBSCRIBE still work
        raise Error("ERR SSUBSCRIBE isn't allowed for a DENY BLOCKING client")
    return _change(ctx, b"ssubscribe", ctx.engine.pubsub.ssubscribe, channels)


@command(
    "SUNSUBSCRIBE",
    arity=-1,
    flags="pubsub noscript loading stale",
    keys=span("not_key"),
    since="7.0.0",
    complexity="O(N) where N is the number of clients already subscribed to a shard channel.",
    usage="[shardchannel [shardchannel ...]]",
)
def sunsubscribe(ctx: Context, *channels: bytes) -> Reply:
    """Ends subscriptions to shard channels, by default all of them."""
    names = channels or tuple(ctx.session.shard_channels)
    return _change(ctx, b"sunsubscribe", ctx.engine.pubsub.sunsubscribe, names)


@command(
    "PUBLISH",
    arity=3,
    flags="pubsub loading stale fast may_replicate",
    since="2.0.0",
    complexity="O(N+M) where N is the number of clients subscribed to the receiving channel and "
    "M is the total number of subscribed patterns (by any client).",
    usage="channel message",
)
def publish(ctx: Context, channel: bytes, message: bytes) -> Reply:
    """Sends a message to a channel; returns how many clients of this server received it."""
    receivers = ctx.engine.pubsub.publish(channel, message)
    ctx.propagate(b"PUBLISH", channel, message, only="replicas")
    return receivers


@command(
    "SPUBLISH",
    arity=3,
    flags="pubsub loading stale fast may_replicate",
    keys=first("not_key"),
    since="7.0.0",
    complexity="O(N) where N is the number of clients subscribed to the receiving shard channel.",
    usage="shardchannel message",
)
def spublish(ctx: Context, channel: bytes, message: bytes) -> Reply:
    """Sends a message to a shard channel; returns how many clients of this server received it."""
    receivers = ctx.engine.pubsub.spublish(channel, message)
    ctx.propagate(b"SPUBLISH", channel, message, only="replicas")
    return receivers


@command("PUBSUB", arity=-2, since="2.8.0", complexity="Depends on subcommand.")
def pubsub(ctx: Context) -> Reply:
    """Tells of channels and their subscribers."""
    raise Error("ERR wrong number of arguments for 'pubsub' command")


def _matching(ctx: Context, names: Iterable[bytes], pattern: tuple[bytes, ...]) -> Reply:
    if not pattern:
        return list(names)
    if len(pattern) > 1:
        subcommand_error(ctx)
    return list(filter(compile_glob(pattern[0]), names))


@command(
    "PUBSUB CHANNELS",
    arity=-2,
    flags="pubsub loading stale",
    since="2.8.0",
    complexity="O(N) where N is the number of active channels, and assuming constant time pattern "
    "matching (relatively short channels and patterns)",
    usage="[pattern]",
)
def pubsub_channels(ctx: Context, *pattern: bytes) -> Reply:
    """Returns the channels that have subscribers."""
    return _matching(ctx, ctx.engine.pubsub.channels, pattern)


@command(
    "PUBSUB SHARDCHANNELS",
    arity=-2,
    flags="pubsub loading stale",
    since="7.0.0",
    complexity="O(N) where N is the number of active shard channels, and assuming constant time "
    "pattern matching (relatively short shard channels).",
    usage="[pattern]",
)
def pubsub_shardchannels(ctx: Context, *pattern: bytes) -> Reply:
    """Returns the shard channels that have subscribers."""
    return _matching(ctx, ctx.engine.pubsub.shard_channels, pattern)


@command(
    "PUBSUB NUMSUB",
    arity=-2,
    flags="pubsub loading stale",
    since="2.8.0",
    complexity="O(N) for the NUMSUB subcommand, where N is the number of requested channels",
    usage="[channel [channel ...]]",
)
def pubsub_numsub(ctx: Context, *channels: bytes) -> Reply:
    """Returns the number of subscribers of each channel; patterns do not count."""
    subscribed = ctx.engine.pubsub.channels
    return [item for name in channels for item in (name, len(subscribed.get(name, ())))]


@command(
    "PUBSUB SHARDNUMSUB",
    arity=-2,
    flags="pubsub loading stale",
    since="7.0.0",
    complexity="O(N) for the SHARDNUMSUB subcommand, where N is the number of requested shard "
    "channels",
    usage="[shardchannel [shardchannel ...]]",
)
def pubsub_shardnumsub(ctx: Context, *channels: bytes) -> Reply:
    """Returns the number of subscribers of each shard channel."""
    subscribed = ctx.engine.pubsub.shard_channels
    return [item for name in channels for item in (name, len(subscribed.get(name, ())))]


@command(
    "PUBSUB NUMPAT",
    arity=2,
    flags="pubsub loading stale",
    since="2.8.0",
    complexity="O(1)",
)
def pubsub_numpat(ctx: Context) -> Reply:
    """Returns the number of distinct patterns subscribed to."""
    return len(ctx.engine.pubsub.patterns)


@command("PUBSUB HELP", arity=2, flags="loading stale", since="6.2.0", complexity="O(1)")
def pubsub_help(ctx: Context) -> Reply:
    """Describes the subcommands."""
    return help_reply(ctx, "PUBSUB")
