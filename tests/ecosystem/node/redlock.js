// redlock: its locks keep others out, last as long as they are told, and are given up. Usage: redlock.js PORT
const assert = require('assert');
const Redis = require('ioredis');
const Redlock = require('redlock');

const WORKERS = 8;

async function main() {
  const redis = new Redis(Number(process.argv[2]));
  const locks = new Redlock([redis], { retryCount: 1000, retryDelay: 5, retryJitter: 5 });
  const impatient = new Redlock([redis], { retryCount: 0 });

  let [inside, done] = [0, 0];
  const work = async () => {
    for (let n = 0; n < 10; n += 1) {
      const lock = await locks.lock(['one', 'two'], 5000);
      inside += 1;
      assert.strictEqual(inside, 1, 'alone');
      await new Promise((resolve) => setImmediate(resolve));
      inside -= 1;
      done += 1;
      await lock.unlock();
    }
  };
  await Promise.all(Array.from({ length: WORKERS }, work));
  assert.strictEqual(done, WORKERS * 10);

  const lock = await locks.lock('two', 200);
  await assert.rejects(impatient.lock(['one', 'two'], 1000), /LockError|exceeded/);
  assert.strictEqual(await redis.exists('one'), 0, 'all of them or none');
  const longer = await lock.extend(10000);
  assert.ok((await redis.pttl('two')) > 5000);
  await longer.unlock();
  await assert.rejects(longer.unlock(), /LockError|Unable|exceeded/);
  await locks.lock('short', 50);
  const next = await locks.lock('short', 1000);
  await next.unlock();
  redis.disconnect();
}

main().catch((error) => {
  console.error(error);
  process.exit(1);
});
