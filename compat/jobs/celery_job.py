"""celery: tasks, a group, a chain, a chord, a delayed task and a retry, with a worker process."""

import os
import subprocess
import sys

from celery import Celery, chain, chord, group

URL = f"redis://127.0.0.1:{os.environ['REDIS_PORT']}"
app = Celery("celery_job", broker=f"{URL}/1", backend=f"{URL}/2")
app.conf.broker_connection_retry_on_startup = True
app.conf.worker_hijack_root_logger = False


@app.task
def add(x, y):
    return x + y


@app.task
def total(numbers):
    return sum(numbers)


@app.task(bind=True, max_retries=3)
def stubborn(self):
    if self.request.retries < 2:
        raise self.retry(countdown=0)
    return self.request.retries


@app.task
def broken():
    raise ValueError("as asked")


def main():
    worker = subprocess.Popen(
        [
            sys.executable,
            "-m",
            "celery",
            "-A",
            "celery_job",
            "worker",
            "--pool",
            "solo",
            "--loglevel",
            "ERROR",
        ],
        cwd=os.path.dirname(os.path.abspath(__file__)),
        env={**os.environ, "PYTHONDONTWRITEBYTECODE": "1"},
    )
    try:
        assert add.delay(2, 3).get(timeout=40) == 5
        assert group(add.s(n, n) for n in range(10))().get(timeout=20) == [2 * n for n in range(10)]
        assert chain(add.s(1, 2), add.s(3), add.s(4))().get(timeout=20) == 10
        assert chord([add.s(n, 1) for n in range(5)])(total.s()).get(timeout=20) == 15
        assert add.apply_async((1, 1), countdown=1).get(timeout=20) == 2
        assert stubborn.delay().get(timeout=20) == 2
        failed = broken.delay()
        assert isinstance(failed.get(timeout=20, propagate=False), ValueError)
        assert failed.state == "FAILURE"
        assert app.control.ping(timeout=2)
        failed.forget()
        assert failed.state == "PENDING"
    finally:
        worker.terminate()
        worker.wait(10)
    print("a group, a chain, a chord and single tasks of celery")


if __name__ == "__main__":
    main()
