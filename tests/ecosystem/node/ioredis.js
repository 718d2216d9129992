// ioredis: scripts as commands, pipelines, transactions, streams of keys, messages, blocking calls. Usage: ioredis.js PORT
const assert = require('assert');
const Redis = require('ioredis');

const port = Number(process.argv[2]);

async function scripts(redis) {
  redis.defineCommand('addTo', {
    numberOfKeys: 2,
    lua: "local n = redis.call('INCRBY', KEYS[1], ARGV[1]) redis.call('RPUSH', KEYS[2], n) return {KEYS[1], n, ARGV[2]}",
  });
  assert.deepStrictEqual(await redis.addTo('n', 'log', 5, 'x'), ['n', 5, 'x']);
  await redis.script('FLUSH');
  // Its EVALSHA is not known any more; it falls back on EVAL, also in a pipeline.
  assert.deepStrictEqual(await redis.addTo('n', 'log', 2, 'y'), ['n', 7, 'y']);
  await redis.script('FLUSH');
  const [[, first], [, second]] = await redis.pipeline().addTo('n', 'log', 1, 'p').addTo('n', 'log', 1, 'q').exec();
  assert.deepStrictEqual([first[1], second[1]], [8, 9]);
  assert.deepStrictEqual(await redis.lrange('log', 0, -1), ['5', '7', '8', '9']);
  redis.defineCommand('fails', { numberOfKeys: 1, lua: "redis.call('SET', KEYS[1], 'lost') return redis.call('INCR', KEYS[1])" });
  await assert.rejects(redis.fails('failed'), /not an integer/);
  assert.deepStrictEqual(await redis.eval('return {1, false, {2, "a"}, 3.9}', 0), [1, null, [2, 'a'], 3]);
}

async function transactions(redis) {
  const done = await redis.multi().set('a', 1).incr('a').hset('h', { x: 1, y: 2 }).hgetall('h').exec();
  assert.deepStrictEqual(done.map(([error, value]) => [error, value]), [[null, 'OK'], [null, 2], [null, 2], [null, { x: '1', y: '2' }]]);
  await redis.watch('a');
  const other = redis.duplicate();
  await other.set('a', 'changed');
  assert.strictEqual(await redis.multi().set('a', 'lost').exec(), null);
  assert.strictEqual(await redis.get('a'), 'changed');
  other.disconnect();
}

async function manyAtOnce() {
  const redis = new Redis({ port, enableAutoPipelining: true });
  const keys = Array.from({ length: 500 }, (_, n) => `many:${n}`);
  await Promise.all(keys.map((key, n) => redis.set(key, n)));
  assert.deepStrictEqual(await Promise.all(keys.map((key) => redis.get(key))), keys.map((_, n) => String(n)));
  const seen = new Set();
  for await (const page of redis.scanStream({ match: 'many:*', count: 50 })) page.forEach((key) => seen.add(key));
  assert.strictEqual(seen.size, keys.length);
  redis.disconnect();
}

async function messagesAndBlocking(redis) {
  const subscriber = redis.duplicate();
  const heard = new Promise((resolve) => subscriber.on('pmessage', (...message) => resolve(message)));
  await subscriber.psubscribe('news:*');
  await redis.publish('news:today', 'hello');
  assert.deepStrictEqual(await heard, ['news:*', 'news:today', 'hello']);
  const waiting = redis.duplicate();
  const popped = waiting.blpop('jobs', 10);
  await new Promise((resolve) => setTimeout(resolve, 50));
  await redis.rpush('jobs', 'first');
  assert.deepStrictEqual(await popped, ['jobs', 'first']);
  const id = await redis.xadd('stream', '*', 'field', 'value');
  assert.deepStrictEqual(await redis.xread('STREAMS', 'stream', '0'), [['stream', [[id, ['field', 'value']]]]]);
  subscriber.disconnect();
  waiting.disconnect();
}

async function main() {
  const redis = new Redis(port);
  await scripts(redis);
  await transactions(redis);
  await manyAtOnce();
  await messagesAndBlocking(redis);
  redis.disconnect();
}

main().catch((error) => {
  console.error(error);
  process.exit(1);
});
