"""XXH3 against hashes that the reference implementation (the xxhash package) computed."""

from __future__ import annotations

import pytest

from pyredis.types.xxh3 import xxh3_64

VECTORS = {
    0: "2d06800538d394c2", 1: "c44bdff4074eecdb", 2: "d6645fc3051a9457",
    3: "37892f624f40b19c", 4: "5206b2e6b553fe7e", 5: "4059737f905531b6",
    8: "bcfe131fa6cb6952", 9: "95a8b7572f430fef", 12: "d186112a39b065ca",
    16: "f36d1380fc3d25fd", 17: "85b86fb76a78e347", 31: "906a29aee3333328",
    32: "c25eeb0879ebbfbf", 33: "e5d79f1ebb9d1991", 64: "c5a96db31a91ee2d",
    65: "6d3a9036ec6103a8", 96: "7aec52d9b5f8b485", 97: "42e0eaaba00e5271",
    128: "a05397602c0d7380", 129: "b0be8561055fb150", 144: "7dedd15c5c310c38",
    145: "eebc4242ae21c204", 200: "1b951b7536cb0c43", 239: "e7e55571ae1b56cb",
    240: "2599f7836101b7c7", 241: "fa3e3f950b821a67", 256: "5d47b716ae4e6cc9",
    257: "bb2d64ab9dfdd340", 320: "6f9c3e663acae16c", 512: "b5be4984ee278145",
    1023: "fa573b14666f118d", 1024: "a3115476086f73f1", 1025: "66b070bd27327c00",
    1087: "15cb2170546ebd8b", 1088: "c1e20c0fd2599af8", 1089: "157ca606b29f7400",
    2048: "5ede5a805924185a", 2049: "dab872b3402e3b55", 3000: "8d28d397892647e0",
    10240: "40e5c2b9b9e8ce29", 100001: "e43023a86bce2291",
}  # fmt: skip


def data(size: int) -> bytes:
    return bytes(at * at % 251 for at in range(size))


@pytest.mark.parametrize("size", VECTORS)
def test_every_recipe_and_its_limits(size: int) -> None:
    assert f"{xxh3_64(data(size)):016x}" == VECTORS[size]
    assert xxh3_64(bytearray(data(size))) == xxh3_64(data(size))


def test_leading_zeros_count() -> None:
    """The value is from Redis' own tests."""
    text = (
        b"v8lf0c11xh8ymlqztfd3eeq16kfn4sspw7fqmnuuq3k3t75em5wdizgcdw7uc26nnf961u2jkfzkjytls2kwlj"
        b"7626sd"
    )
    assert xxh3_64(text) == 0x00006C38ADF31777
