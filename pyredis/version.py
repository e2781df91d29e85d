"""The two versions: ours, and the Redis that we are compatible with."""

from typing import Final

VERSION: Final = "0.1.0"
REDIS_VERSION: Final = "7.4.2"
"""The newest Redis version that libraries may take this server for."""
