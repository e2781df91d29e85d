"""Django's cache on Redis: values, many at once, counters, times to live, versions."""

import asyncio
import os
import time

from django.conf import settings

settings.configure(
    CACHES={
        "default": {
            "BACKEND": "django.core.cache.backends.redis.RedisCache",
            "LOCATION": f"redis://127.0.0.1:{os.environ['REDIS_PORT']}/3",
            "KEY_PREFIX": "site",
        }
    }
)

from django.core.cache import cache  # noqa: E402

cache.set("object", {"list": [1, 2, 3], "none": None})
assert cache.get("object") == {"list": [1, 2, 3], "none": None}
assert cache.get("missing", "default") == "default"
assert cache.add("object", 1) is False
assert cache.add("new", 1) is True
assert cache.get_or_set("lazy", lambda: 5) == 5

cache.set("count", 10)
assert cache.incr("count") == 11
assert cache.decr("count", 5) == 6
try:
    cache.incr("missing")
    raise AssertionError("counted what is not there")
except ValueError:
    pass

assert cache.set_many({f"key{n}": n for n in range(100)}, timeout=100) == []
assert cache.get_many([f"key{n}" for n in range(0, 200, 50)]) == {"key0": 0, "key50": 50}
cache.delete_many(["key0", "key1"])
assert "key0" not in cache
assert cache.delete("key2") is True
assert cache.delete("key2") is False

cache.set("short", "lived", timeout=1)
assert cache.touch("key3", 1000) is True
assert cache.touch("missing") is False
cache.set("versioned", "second", version=2)
assert cache.get("versioned") is None
assert cache.incr_version("versioned", version=2) == 3
time.sleep(1.1)
assert cache.get("short") is None
assert asyncio.run(cache.aget("count")) == 6
cache.clear()
assert cache.get("count") is None
print("Django's cache")
