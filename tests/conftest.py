"""Fixtures shared by all tests."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from hypothesis import settings

from tests.support import REDIS_SERVER, EngineClient, Node, RealRedis, Twin, new_client

# Machines differ and are busy: no example fails for being slow.
settings.register_profile("patient", deadline=None)
settings.load_profile("patient")


@pytest.fixture
def client() -> EngineClient:
    """A client of a fresh engine."""
    return new_client()


@pytest.fixture(scope="session")
def real_redis() -> Iterator[RealRedis]:
    """A redis-server for the whole run; tests that need it are skipped without one."""
    if REDIS_SERVER is None:
        pytest.skip("redis-server is not installed")
    server = RealRedis()
    yield server
    server.close()


@pytest.fixture
def twin(real_redis: RealRedis) -> Iterator[Twin]:
    """A fresh pair of connections over empty databases."""
    real = real_redis.client()
    # Clients of the test before may not have been missed yet: none shall be seen by this one.
    for kind in ("normal", "pubsub"):
        real("CLIENT", "KILL", "TYPE", kind)
    real("FLUSHALL")
    real("CONFIG", "RESETSTAT")
    yield Twin(real, new_client())
    real.close()


@pytest.fixture
def node() -> Iterator[Node]:
    """A pyredis-server process with default settings."""
    server = Node("--save", "")
    yield server
    server.close()
