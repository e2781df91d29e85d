// node-redis: the same kind of job in RESP2 and in RESP3.
const assert = require('node:assert');
const { createClient, defineScript } = require('redis');

const url = `redis://127.0.0.1:${process.env.REDIS_PORT}`;

async function job(RESP) {
  const client = createClient({ url, RESP });
  client.on('error', (error) => console.error(error));
  await client.connect();
  await client.flushDb();
  const worker = await client.duplicate().connect();
  const listener = await client.duplicate().connect();

  const heard = new Promise((resolve) =>
    listener.pSubscribe('done:*', (message, channel) => resolve([channel, message])));

  const taken = (async () => {
    const jobs = [];
    while (jobs.length < 20) {
      const { element } = await worker.blPop('jobs', 10);
      jobs.push(Number(element));
    }
    await worker.publish('done:all', String(jobs.length));
    return jobs;
  })();
  const numbers = [...Array(20).keys()];
  await Promise.all(numbers.map((number) => client.rPush('jobs', String(number))));
  assert.deepStrictEqual(await taken, numbers);
  assert.deepStrictEqual(await heard, ['done:all', '20']);

  const [set, counted, text] = await client.multi().set('a', '1').incr('a').get('a').exec();
  assert.deepStrictEqual([set, counted, text], ['OK', 2, '2']);
  await client.hSet('hash', { one: 1, two: 'zwei' });
  assert.deepStrictEqual({ ...(await client.hGetAll('hash')) }, { one: '1', two: 'zwei' });
  await client.zAdd('scores', [{ value: 'a', score: 1.5 }, { value: 'b', score: Infinity }]);
  assert.deepStrictEqual(
    (await client.zRangeWithScores('scores', 0, -1)).map(({ value, score }) => [value, score]),
    [['a', 1.5], ['b', Infinity]]);
  assert.strictEqual(await client.zScore('scores', 'a'), 1.5);
  assert.ok((await client.sendCommand(['CONFIG', 'GET', 'maxclients'])) !== null);

  assert.deepStrictEqual(
    await client.eval("return {KEYS[1], ARGV[1], redis.call('GET', KEYS[1])}",
      { keys: ['a'], arguments: ['x'] }), ['a', 'x', '2']);

  await client.xGroupCreate('stream', 'group', '0', { MKSTREAM: true });
  await client.xAdd('stream', '*', { field: 'value' });
  const read = await client.xReadGroup('group', 'me', { key: 'stream', id: '>' });
  const entries = Array.isArray(read) ? read[0].messages : Object.values(read)[0];
  assert.strictEqual(await client.xAck('stream', 'group', entries[0].id), 1);

  await client.mSet(Object.fromEntries(numbers.map((number) => [`key:${number}`, 'v'])));
  const keys = new Set();
  for await (const page of client.scanIterator({ MATCH: 'key:*', COUNT: 5 }))
    for (const key of [page].flat()) keys.add(key);
  assert.strictEqual(keys.size, 20);

  await assert.rejects(client.lPush('a', 'x'), /WRONGTYPE/);
  await Promise.all([client, worker, listener].map((one) => one.close()));
}

job(2)
  .then(() => job(3))
  .then(() => console.log('queues of node-redis in RESP2 and RESP3'))
  .catch((error) => {
    console.error(error);
    process.exit(1);
  });
