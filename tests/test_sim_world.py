"""Virtual time: order, chance, and clocks that are wrong."""

from __future__ import annotations

from pyredis.sim.clock import EPOCH_MS, SimClock
from pyredis.sim.world import US_PER_S, World


def test_events_come_in_the_order_of_time_and_then_of_their_making() -> None:
    world = World(1)
    seen: list[str] = []
    world.at(20, seen.append, "c")
    world.at(10, seen.append, "a")
    world.at(20, seen.append, "d")

    def late() -> None:
        seen.append("b")
        world.at(5, seen.append, "now")

    world.at(10, late)
    world.run(15)
    assert seen == ["a", "b", "now"]
    assert world.now_us == 15
    world.run(100)
    assert seen[3:] == ["c", "d"]
    assert world.now_us == 100


def test_a_run_can_be_stopped_and_goes_on_where_it_was() -> None:
    world = World(1)
    seen: list[int] = []
    for time_us in (1, 2, 3):
        world.at(time_us, seen.append, time_us)
    world.at(1, world.stop)
    world.run(10)
    assert seen == [1]
    assert world.now_us == 1
    world.run(10)
    assert seen == [1, 2, 3]


def test_streams_of_chance_do_not_touch_one_another() -> None:
    alone = [World(7).stream("load").getrandbits(32) for _ in range(1)]
    world = World(7)
    world.stream("faults").getrandbits(1000)
    assert world.stream("load").getrandbits(32) == alone[0]
    assert World(8).stream("load").getrandbits(32) != alone[0]


def test_chance_is_the_same_on_all_versions() -> None:
    rng = World(1).stream("test")
    assert [rng.randrange(1000) for _ in range(6)] == [776, 420, 547, 693, 164, 321]


def test_a_clock_can_jump_and_drift() -> None:
    world = World(1)
    clock = SimClock(world)
    world.run(US_PER_S)
    assert clock.now_ms() == EPOCH_MS + 1000
    clock.jump(-3600 * US_PER_S)
    assert clock.now_ms() == EPOCH_MS + 1000 - 3_600_000
    assert clock.steady_ns() == 1_000_000_000
    clock.drift(100_000)
    world.run(2 * US_PER_S)
    assert clock.steady_ns() == 2_100_000_000
    assert clock.now_us() == EPOCH_MS * 1000 + 2_100_000 - 3_600_000_000


def test_the_time_at_which_a_clock_will_show_a_time() -> None:
    for ppm in (0, 333, -12_345, 250_000):
        world = World(1)
        clock = SimClock(world)
        world.run(123_457)
        clock.drift(ppm)
        clock.jump(-777)
        wanted_ms = clock.now_ms() + 1234
        world.run(clock.until_us(wanted_ms) - 1)
        assert clock.now_ms() < wanted_ms
        world.run(clock.until_us(wanted_ms))
        assert clock.now_ms() == wanted_ms
