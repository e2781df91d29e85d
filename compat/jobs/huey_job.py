"""huey: tasks, delays, priorities, retries, locks and a pipeline, with a consumer's threads."""

import os

from huey import PriorityRedisHuey, RedisHuey
from huey.exceptions import TaskException, TaskLockedException

PORT = int(os.environ["REDIS_PORT"])
done = []


def eventually(result):
    """The value of a task that fails before it succeeds: its errors are results, too."""
    while True:
        try:
            return result.get(blocking=True, timeout=20)
        except TaskException:
            result.reset()


def work(huey, priority=None):
    tries = []

    @huey.task()
    def add(x, y):
        return x + y

    @huey.task(priority=priority)
    def note(text):
        done.append(text)

    @huey.task(retries=2)
    def stubborn():
        tries.append(1)
        if len(tries) < 3:
            raise ValueError("not yet")
        return len(tries)

    delayed = add.schedule((1, 2), delay=1)
    stopped = add.schedule((1, 2), delay=1000)
    stopped.revoke()
    results = [add(n, n) for n in range(10)]
    assert len(huey) == 12
    note("noted")
    consumer = huey.create_consumer(workers=2, scheduler_interval=1)
    consumer.start()
    try:
        assert [result.get(blocking=True, timeout=20) for result in results] == [
            2 * n for n in range(10)
        ]
        assert eventually(stubborn()) == 3
        assert huey.enqueue(add.s(1, 2).then(add, 10)).get(blocking=True, timeout=20)[-1] == 13
        assert delayed.get(blocking=True, timeout=20) == 3
        assert stopped.is_revoked()
        with huey.lock_task("one"):
            try:
                with huey.lock_task("one"):
                    raise AssertionError("locked twice")
            except TaskLockedException:
                pass
        huey.put("answer", 42)
        assert huey.get("answer") == 42
    finally:
        consumer.stop(graceful=True)
    huey.flush()
    assert len(huey) == 0


work(RedisHuey("plain", port=PORT))
work(PriorityRedisHuey("priority", port=PORT), priority=5)
assert done == ["noted", "noted"]
print("two queues of huey")
