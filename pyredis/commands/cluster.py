"""The cluster's commands on a node that is in no cluster.

Redis knows these commands in every mode, shows them in COMMAND and answers each with the same
error unless ``cluster-enabled`` is set. This server has no cluster mode yet and does not start
with that setting, so the error is all there is to it. CLUSTER HELP is no exception, in Redis
either.
"""

from __future__ import annotations

from typing import Final, NoReturn

from pyredis.commands.registry import Group
from pyredis.context import Context
from pyredis.resp import Error, Reply

command = Group("cluster")

_CHANGES: Final = "admin stale no_async_loading"
_SLOT_LIST_COST: Final = "O(N) where N is the total number of hash slot arguments"
_SLOT_RANGE_COST: Final = (
    "O(N) where N is the total number of the slots between the start slot and end slot arguments."
)


def _disabled() -> NoReturn:
    raise Error("ERR This instance has cluster support disabled")


@command("ASKING", arity=1, flags="fast", acl="connection", since="3.0.0", complexity="O(1)")
def asking(ctx: Context) -> Reply:
    """Lets the next command use a hash slot that is being moved here."""
    return _disabled()


@command(
    "READONLY",
    arity=1,
    flags="loading stale fast",
    acl="connection",
    since="3.0.0",
    complexity="O(1)",
)
def readonly(ctx: Context) -> Reply:
    """Lets this connection read from a replica."""
    return _disabled()


@command(
    "READWRITE",
    arity=1,
    flags="loading stale fast",
    acl="connection",
    since="3.0.0",
    complexity="O(1)",
)
def readwrite(ctx: Context) -> Reply:
    """Takes READONLY back."""
    return _disabled()


@command("CLUSTER", arity=-2, since="3.0.0", complexity="Depends on subcommand.")
def cluster(ctx: Context) -> Reply:
    """Tells about the cluster and changes it."""
    raise Error("ERR wrong number of arguments for 'cluster' command")


@command("CLUSTER HELP", arity=2, flags="loading stale", since="5.0.0", complexity="O(1)")
def cluster_help(ctx: Context) -> Reply:
    """Lists the subcommands."""
    return _disabled()


@command(
    "CLUSTER ADDSLOTS",
    arity=-3,
    flags=_CHANGES,
    since="3.0.0",
    complexity=_SLOT_LIST_COST,
    usage="slot [slot ...]",
)
def addslots(ctx: Context, *arguments: bytes) -> Reply:
    """Takes hash slots over."""
    return _disabled()


@command(
    "CLUSTER ADDSLOTSRANGE",
    arity=-4,
    flags=_CHANGES,
    since="7.0.0",
    complexity=_SLOT_RANGE_COST,
    usage="start-slot end-slot [start-slot end-slot ...]",
)
def addslotsrange(ctx: Context, *arguments: bytes) -> Reply:
    """Takes ranges of hash slots over."""
    return _disabled()


@command(
    "CLUSTER BUMPEPOCH",
    arity=2,
    flags=_CHANGES,
    tips="nondeterministic_output",
    since="3.0.0",
    complexity="O(1)",
)
def bumpepoch(ctx: Context) -> Reply:
    """Moves the configuration epoch on."""
    return _disabled()


@command(
    "CLUSTER COUNT-FAILURE-REPORTS",
    arity=3,
    flags="admin stale",
    tips="nondeterministic_output",
    since="3.0.0",
    complexity="O(N) where N is the number of failure reports",
    usage="node-id",
)
def count_failure_reports(ctx: Context, *arguments: bytes) -> Reply:
    """Counts the nodes that say a node has failed."""
    return _disabled()


@command(
    "CLUSTER COUNTKEYSINSLOT",
    arity=3,
    flags="stale",
    since="3.0.0",
    complexity="O(1)",
    usage="slot",
)
def countkeysinslot(ctx: Context, *arguments: bytes) -> Reply:
    """Counts the keys of a hash slot."""
    return _disabled()


@command(
    "CLUSTER DELSLOTS",
    arity=-3,
    flags=_CHANGES,
    since="3.0.0",
    complexity=_SLOT_LIST_COST,
    usage="slot [slot ...]",
)
def delslots(ctx: Context, *arguments: bytes) -> Reply:
    """Gives hash slots up."""
    return _disabled()


@command(
    "CLUSTER DELSLOTSRANGE",
    arity=-4,
    flags=_CHANGES,
    since="7.0.0",
    complexity=_SLOT_RANGE_COST,
    usage="start-slot end-slot [start-slot end-slot ...]",
)
def delslotsrange(ctx: Context, *arguments: bytes) -> Reply:
    """Gives ranges of hash slots up."""
    return _disabled()


@command(
    "CLUSTER FAILOVER",
    arity=-2,
    flags=_CHANGES,
    since="3.0.0",
    complexity="O(1)",
    usage="[FORCE|TAKEOVER]",
)
def failover(ctx: Context, *arguments: bytes) -> Reply:
    """Makes this replica take its primary's place."""
    return _disabled()


@command(
    "CLUSTER FLUSHSLOTS",
    arity=2,
    flags=_CHANGES,
    since="3.0.0",
    complexity="O(1)",
)
def flushslots(ctx: Context) -> Reply:
    """Gives all hash slots up."""
    return _disabled()


@command(
    "CLUSTER FORGET",
    arity=3,
    flags=_CHANGES,
    since="3.0.0",
    complexity="O(1)",
    usage="node-id",
)
def forget(ctx: Context, *arguments: bytes) -> Reply:
    """Strikes a node off the list of nodes."""
    return _disabled()


@command(
    "CLUSTER GETKEYSINSLOT",
    arity=4,
    flags="stale",
    tips="nondeterministic_output",
    since="3.0.0",
    complexity="O(log(N)) where N is the number of requested keys",
    usage="slot count",
)
def getkeysinslot(ctx: Context, *arguments: bytes) -> Reply:
    """Lists some keys of a hash slot."""
    return _disabled()


@command(
    "CLUSTER INFO",
    arity=2,
    flags="stale",
    tips="nondeterministic_output",
    since="3.0.0",
    complexity="O(1)",
)
def info(ctx: Context) -> Reply:
    """Returns the state of the cluster as this node sees it."""
    return _disabled()


@command(
    "CLUSTER KEYSLOT",
    arity=3,
    flags="stale",
    since="3.0.0",
    complexity="O(N) where N is the number of bytes in the key",
    usage="key:string",
)
def keyslot(ctx: Context, *arguments: bytes) -> Reply:
    """Tells the hash slot of a key."""
    return _disabled()


@command(
    "CLUSTER LINKS",
    arity=2,
    flags="stale",
    tips="nondeterministic_output",
    since="7.0.0",
    complexity="O(N) where N is the total number of Cluster nodes",
)
def links(ctx: Context) -> Reply:
    """Lists the connections to the other nodes."""
    return _disabled()


@command(
    "CLUSTER MEET",
    arity=-4,
    flags=_CHANGES,
    since="3.0.0",
    complexity="O(1)",
    usage="ip port [cluster-bus-port]",
    history=[("4.0.0", "Takes the optional `cluster-bus-port`.")],
)
def meet(ctx: Context, *arguments: bytes) -> Reply:
    """Introduces another node."""
    return _disabled()


@command(
    "CLUSTER MYID",
    arity=2,
    flags="stale",
    since="3.0.0",
    complexity="O(1)",
)
def myid(ctx: Context) -> Reply:
    """Tells this node's id."""
    return _disabled()


@command(
    "CLUSTER MYSHARDID",
    arity=2,
    flags="stale",
    tips="nondeterministic_output",
    since="7.2.0",
    complexity="O(1)",
)
def myshardid(ctx: Context) -> Reply:
    """Tells the id of this node's shard."""
    return _disabled()


@command(
    "CLUSTER NODES",
    arity=2,
    flags="stale",
    tips="nondeterministic_output",
    since="3.0.0",
    complexity="O(N) where N is the total number of Cluster nodes",
)
def nodes(ctx: Context) -> Reply:
    """Lists all nodes, one a line."""
    return _disabled()


@command(
    "CLUSTER REPLICAS",
    arity=3,
    flags="admin stale",
    tips="nondeterministic_output",
    since="5.0.0",
    complexity="O(1)",
    usage="node-id",
)
def replicas(ctx: Context, *arguments: bytes) -> Reply:
    """Lists the replicas of a node."""
    return _disabled()


@command(
    "CLUSTER REPLICATE",
    arity=3,
    flags=_CHANGES,
    since="3.0.0",
    complexity="O(1)",
    usage="node-id",
)
def replicate(ctx: Context, *arguments: bytes) -> Reply:
    """Makes this node a replica of another."""
    return _disabled()


@command(
    "CLUSTER RESET",
    arity=-2,
    flags="admin noscript stale",
    since="3.0.0",
    complexity="O(N) where N is the number of known nodes. "
    "The command may execute a FLUSHALL as a side effect.",
    usage="[HARD|SOFT]",
)
def reset(ctx: Context, *arguments: bytes) -> Reply:
    """Makes this node forget the cluster."""
    return _disabled()


@command(
    "CLUSTER SAVECONFIG",
    arity=2,
    flags=_CHANGES,
    since="3.0.0",
    complexity="O(1)",
)
def saveconfig(ctx: Context) -> Reply:
    """Writes the state of the cluster to disk."""
    return _disabled()


@command(
    "CLUSTER SET-CONFIG-EPOCH",
    arity=3,
    flags=_CHANGES,
    since="3.0.0",
    complexity="O(1)",
    usage="config-epoch",
)
def set_config_epoch(ctx: Context, *arguments: bytes) -> Reply:
    """Gives a new node its configuration epoch."""
    return _disabled()


@command(
    "CLUSTER SETSLOT",
    arity=-4,
    flags=_CHANGES,
    since="3.0.0",
    complexity="O(1)",
    usage="slot <IMPORTING node-id|MIGRATING node-id|NODE node-id|STABLE>",
)
def setslot(ctx: Context, *arguments: bytes) -> Reply:
    """Moves a hash slot between nodes, step by step."""
    return _disabled()


@command(
    "CLUSTER SHARDS",
    arity=2,
    flags="loading stale",
    tips="nondeterministic_output",
    since="7.0.0",
    complexity="O(N) where N is the total number of cluster nodes",
)
def shards(ctx: Context) -> Reply:
    """Lists the shards, each with its slots and nodes."""
    return _disabled()


@command(
    "CLUSTER SLAVES",
    arity=3,
    flags="admin stale",
    tips="nondeterministic_output",
    since="3.0.0",
    complexity="O(1)",
    usage="node-id",
    deprecated="`CLUSTER REPLICAS`",
    deprecated_since="5.0.0",
)
def slaves(ctx: Context, *arguments: bytes) -> Reply:
    """Lists the replicas of a node, under the command's old name."""
    return _disabled()


@command(
    "CLUSTER SLOTS",
    arity=2,
    flags="loading stale",
    tips="nondeterministic_output",
    since="3.0.0",
    complexity="O(N) where N is the total number of Cluster nodes",
    history=[("4.0.0", "Shows node ids."), ("7.0.0", "Shows more about the nodes' networks.")],
    deprecated="`CLUSTER SHARDS`",
    deprecated_since="7.0.0",
)
def slots(ctx: Context) -> Reply:
    """Lists the ranges of hash slots, each with its nodes."""
    return _disabled()
