// bee-queue: jobs, results, retries, delays and stalled jobs. Usage: bee_queue.js PORT
const assert = require('assert');
const { spawnSync } = require('child_process');
const Queue = require('bee-queue');

const redis = { host: '127.0.0.1', port: Number(process.argv[2]) };
const DIED = 9;

function ended(job) {
  return new Promise((resolve, reject) => {
    job.on('succeeded', resolve);
    job.on('failed', reject);
  });
}

async function jobs() {
  const queue = new Queue('sums', { redis, activateDelayedJobs: true, removeOnSuccess: true });
  const tries = {};
  queue.process(8, async (job) => {
    tries[job.id] = (tries[job.id] || 0) + 1;
    if (job.data.fails >= tries[job.id]) throw new Error('not yet');
    return job.data.a + job.data.b;
  });
  const many = Array.from({ length: 100 }, (_, n) => queue.createJob({ a: n, b: 1 }));
  const results = many.map(ended);
  const errors = await queue.saveAll(many);
  assert.strictEqual(errors.size, 0);
  assert.deepStrictEqual(await Promise.all(results), many.map((_, n) => n + 1));
  const retried = queue.createJob({ a: 1, b: 2, fails: 2 }).retries(3).backoff('immediate');
  const result = ended(retried);
  await retried.save();
  assert.strictEqual(await result, 3);
  const delayed = queue.createJob({ a: 20, b: 22 }).delayUntil(Date.now() + 300);
  const later = ended(delayed);
  await delayed.save();
  assert.strictEqual((await queue.getJobs('delayed', { start: 0, end: 10 })).length, 1);
  assert.strictEqual(await later, 42);
  const lost = queue.createJob({ fails: 9 });
  const failure = ended(lost);
  await lost.save();
  await assert.rejects(failure, /not yet/);
  const health = await queue.checkHealth();
  assert.deepStrictEqual([health.waiting, health.active, health.delayed, health.failed], [0, 0, 0, 1]);
  await queue.removeJob(lost.id);
  await queue.destroy();
  await queue.close();
}

const settings = { redis, stallInterval: 200 };

// A worker that dies at work; another one gets its job.
async function stalledJobs() {
  const queue = new Queue('stalls', { ...settings, isWorker: false });
  const job = queue.createJob({ n: 1 });
  const result = ended(job);
  await job.save();
  const { status } = spawnSync(process.execPath, [__filename, String(redis.port), 'dies'], { stdio: 'inherit' });
  assert.strictEqual(status, DIED);
  const heir = new Queue('stalls', settings);
  heir.checkStalledJobs(100);
  heir.process(async (stalled) => stalled.data.n + 1);
  assert.strictEqual(await result, 2);
}

if (process.argv[3] === 'dies') {
  new Queue('stalls', settings).process(() => process.exit(DIED));
} else {
  jobs().then(stalledJobs).then(() => process.exit(0), (error) => {
    console.error(error);
    process.exit(1);
  });
}
