// rate-limiter-flexible: points, penalties, blocks, bursts and queues. Usage: rate_limiter_flexible.js PORT
const assert = require('assert');
const Redis = require('ioredis');
const { BurstyRateLimiter, RateLimiterQueue, RateLimiterRedis } = require('rate-limiter-flexible');

async function consumed(limiter, key, times) {
  const results = await Promise.all(Array.from({ length: times }, () => limiter.consume(key).then(() => true, (refused) => {
    if (refused instanceof Error) throw refused;
    assert.ok(refused.msBeforeNext > 0);
    return false;
  })));
  return results.filter(Boolean).length;
}

async function main() {
  const redis = new Redis(Number(process.argv[2]));
  const limiter = new RateLimiterRedis({ storeClient: redis, keyPrefix: 'plain', points: 5, duration: 100 });
  assert.strictEqual(await consumed(limiter, 'user', 12), 5);
  assert.strictEqual((await limiter.get('user')).consumedPoints, 12);
  await limiter.reward('user', 10);
  assert.strictEqual((await limiter.consume('user')).remainingPoints, 2);
  assert.strictEqual((await limiter.penalty('user', 5)).consumedPoints, 8);
  assert.strictEqual(await limiter.delete('user'), true);
  assert.strictEqual(await limiter.get('user'), null);
  await limiter.block('user', 50);
  assert.strictEqual(await consumed(limiter, 'user', 1), 0);
  await limiter.set('user', 4, 100);
  assert.strictEqual(await consumed(limiter, 'user', 3), 1);

  const blocks = new RateLimiterRedis({ storeClient: redis, keyPrefix: 'blocks', points: 2, duration: 1, blockDuration: 100 });
  assert.strictEqual(await consumed(blocks, 'user', 3), 2);
  assert.ok((await redis.pttl('blocks:user')) > 50000);

  const short = new RateLimiterRedis({ storeClient: redis, keyPrefix: 'short', points: 2, duration: 1 });
  const spare = new RateLimiterRedis({ storeClient: redis, keyPrefix: 'spare', points: 3, duration: 100 });
  assert.strictEqual(await consumed(new BurstyRateLimiter(short, spare), 'user', 9), 5);

  const queue = new RateLimiterQueue(new RateLimiterRedis({ storeClient: redis, keyPrefix: 'queue', points: 3, duration: 1 }));
  const began = Date.now();
  await Promise.all(Array.from({ length: 5 }, () => queue.removeTokens(1)));
  assert.ok(Date.now() - began >= 500, 'two of them waited for the next second');
  redis.disconnect();
}

main().catch((error) => {
  console.error(error);
  process.exit(1);
});
