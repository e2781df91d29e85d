"""A Redis-compatible data node in pure Python. See ARCHITECTURE.md for the reading order."""

from pyredis.version import REDIS_VERSION, VERSION

__all__ = ["REDIS_VERSION", "VERSION"]
__version__ = VERSION
