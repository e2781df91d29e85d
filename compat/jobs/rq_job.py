"""rq: jobs that succeed, fail, are retried, depend on each other and are scheduled."""

import operator
import os
from datetime import timedelta

from redis import Redis
from rq import Queue, Retry, Worker
from rq.registry import FailedJobRegistry, FinishedJobRegistry, ScheduledJobRegistry

connection = Redis(port=int(os.environ["REDIS_PORT"]))
queue = Queue(connection=connection)

product = queue.enqueue(operator.mul, 6, 7, meta={"by": "test"})
waiting = queue.enqueue(operator.add, 1, 2, depends_on=product)
wrong = queue.enqueue(operator.truediv, 1, 0, retry=Retry(max=2))
many = queue.enqueue_many(
    [Queue.prepare_data(operator.sub, (n, 1), job_id=f"many-{n}") for n in range(20)]
)
later = queue.enqueue_in(timedelta(hours=1), operator.neg, 5)
assert waiting.get_status() == "deferred"
assert len(queue) == 22

Worker([queue], connection=connection).work(burst=True)

assert product.return_value() == 42
assert waiting.return_value() == 3
assert [job.return_value() for job in many] == [n - 1 for n in range(20)]
assert product.get_status() == "finished"
assert product.get_meta() == {"by": "test"}
assert wrong.get_status() == "failed"
assert "ZeroDivisionError" in wrong.latest_result().exc_string
assert len(FinishedJobRegistry(queue=queue)) == 22
assert FailedJobRegistry(queue=queue).get_job_ids() == [wrong.id]
assert ScheduledJobRegistry(queue=queue).get_job_ids() == [later.id]
assert len(queue) == 0
print("25 jobs of rq")
