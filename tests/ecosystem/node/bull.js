// bull: jobs, priorities, retries, delays, repeats, limits, and cleaning up. Usage: bull.js PORT
const assert = require('assert');
const { spawnSync } = require('child_process');
const Queue = require('bull');

// It listens to each job that is waited for.
require('events').defaultMaxListeners = 0;

const redis = { host: '127.0.0.1', port: Number(process.argv[2]) };
const DIED = 9;

async function jobs() {
  const queue = new Queue('sums', { redis });
  queue.process(8, async (job) => {
    await job.progress(50);
    if (job.attemptsMade < job.data.fails) throw new Error('not yet');
    return job.data.a + job.data.b;
  });
  const many = await queue.addBulk(Array.from({ length: 100 }, (_, n) => ({ data: { a: n, b: 1 } })));
  assert.deepStrictEqual(await Promise.all(many.map((job) => job.finished())), many.map((_, n) => n + 1));
  const retried = await queue.add({ a: 1, b: 2, fails: 2 }, { attempts: 3, backoff: 10 });
  assert.strictEqual(await retried.finished(), 3);
  const delayed = await queue.add({ a: 20, b: 22 }, { delay: 200 });
  assert.ok(await delayed.isDelayed());
  assert.strictEqual(await delayed.finished(), 42);
  const lost = await queue.add({ fails: 9 });
  await assert.rejects(lost.finished(), /not yet/);
  assert.strictEqual((await queue.getJob(lost.id)).failedReason, 'not yet');
  const counts = await queue.getJobCounts();
  assert.deepStrictEqual(counts, { waiting: 0, active: 0, completed: 102, failed: 1, delayed: 0, paused: 0 });
  assert.strictEqual((await queue.clean(0, 'completed')).length, 102);
  await queue.close();
}

async function orderOfPriorities() {
  const queue = new Queue('priorities', { redis });
  await queue.pause();
  for (const priority of [3, 1, 2, 1]) await queue.add({ priority }, { priority });
  const order = [];
  const drained = new Promise((resolve) => queue.on('drained', resolve));
  queue.process(async (job) => order.push(job.data.priority));
  await queue.resume();
  await drained;
  assert.deepStrictEqual(order, [1, 1, 2, 3]);
  await queue.obliterate({ force: true });
  await queue.close();
}

async function limitsAndRepeats() {
  const limited = new Queue('limited', { redis, limiter: { max: 2, duration: 300 } });
  const began = Date.now();
  limited.process(async () => 'done');
  const jobs = await limited.addBulk(Array.from({ length: 5 }, () => ({ data: {} })));
  await Promise.all(jobs.map((job) => job.finished()));
  assert.ok(Date.now() - began >= 500, 'it did not wait');
  await limited.close();
  const repeated = new Queue('repeated', { redis });
  const times = new Promise((resolve) => {
    let count = 0;
    repeated.process(async () => {
      count += 1;
      if (count === 2) resolve();
    });
  });
  await repeated.add({}, { repeat: { every: 300 } });
  await times;
  const [{ key }] = await repeated.getRepeatableJobs();
  await repeated.removeRepeatableByKey(key);
  assert.strictEqual(await repeated.getRepeatableCount(), 0);
  await repeated.close();
}

const settings = { stalledInterval: 200, lockDuration: 300 };

// A worker that dies at work; another one gets its job.
async function stalledJobs() {
  const queue = new Queue('stalls', { redis, settings });
  const job = await queue.add({ n: 1 });
  const { status } = spawnSync(process.execPath, [__filename, String(redis.port), 'dies'], { stdio: 'inherit' });
  assert.strictEqual(status, DIED);
  queue.process(async (stalled) => stalled.data.n + 1);
  assert.strictEqual(await job.finished(), 2);
}

if (process.argv[3] === 'dies') {
  new Queue('stalls', { redis, settings }).process(() => process.exit(DIED));
} else {
  jobs().then(orderOfPriorities).then(limitsAndRepeats).then(stalledJobs)
    .then(() => process.exit(0), (error) => {
      console.error(error);
      process.exit(1);
    });
}
