// ioredis: a small queue with a Lua command, transactions, streams, messages and scanning.
const assert = require('node:assert');
const Redis = require('ioredis');

const port = Number(process.env.REDIS_PORT);
const connect = (options) => new Redis({ port, maxRetriesPerRequest: 1, ...options });

async function main() {
  const client = connect({ enableAutoPipelining: true });
  const worker = connect();
  const listener = connect();

  const heard = new Promise((resolve) => listener.on('pmessage', (...words) => resolve(words)));
  await listener.psubscribe('done:*');

  const taken = (async () => {
    const jobs = [];
    while (jobs.length < 20) {
      const [, job] = await worker.brpop('jobs', 10);
      jobs.push(JSON.parse(job).number);
    }
    await worker.publish('done:all', String(jobs.length));
    return jobs;
  })();
  const numbers = [...Array(20).keys()];
  await Promise.all(numbers.map((number) => client.lpush('jobs', JSON.stringify({ number }))));
  assert.deepStrictEqual((await taken).sort((a, b) => a - b), numbers);
  assert.deepStrictEqual(await heard, ['done:*', 'done:all', '20']);

  const pipeline = client.pipeline();
  for (let n = 0; n < 500; n++) pipeline.hset('hash', `field${n}`, n);
  assert.ok((await pipeline.exec()).every(([error, added]) => error === null && added === 1));
  const fields = new Set();
  for await (const page of client.hscanStream('hash', { count: 50 }))
    for (let at = 0; at < page.length; at += 2) fields.add(page[at]);
  assert.strictEqual(fields.size, 500);

  const results = await client.multi().set('a', 1).incr('a').lpush('a', 'x').get('a').exec();
  assert.deepStrictEqual(results[1], [null, 2]);
  assert.match(results[2][0].message, /^WRONGTYPE/);
  assert.deepStrictEqual(results[3], [null, '2']);

  client.defineCommand('take', {
    numberOfKeys: 1,
    lua: "local v = redis.call('GET', KEYS[1]); redis.call('DEL', KEYS[1]); return {v, ARGV[1]}",
  });
  assert.deepStrictEqual(await client.take('a', 'given'), ['2', 'given']);

  await client.xgroup('CREATE', 'stream', 'group', '$', 'MKSTREAM');
  const id = await client.xadd('stream', '*', 'field', 'value');
  const read = await client.xreadgroup('GROUP', 'group', 'me', 'STREAMS', 'stream', '>');
  assert.deepStrictEqual(read, [['stream', [[id, ['field', 'value']]]]]);
  assert.strictEqual(await client.xack('stream', 'group', id), 1);

  await client.set('bytes', Buffer.from([0, 255, 13, 10]));
  assert.deepStrictEqual(await client.getBuffer('bytes'), Buffer.from([0, 255, 13, 10]));
  await Promise.all([client, worker, listener].map((one) => one.quit()));
  console.log('a queue of ioredis');
}

main().catch((error) => {
  console.error(error);
  process.exit(1);
});
