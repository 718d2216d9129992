// bullmq: jobs, priorities, flows, schedulers, deduplication, limits and stalled jobs. Usage: bullmq.js PORT
const assert = require('assert');
const { spawnSync } = require('child_process');
const { FlowProducer, Queue, QueueEvents, Worker } = require('bullmq');

// It listens to each job that is waited for.
require('events').defaultMaxListeners = 0;

const connection = { host: '127.0.0.1', port: Number(process.argv[2]) };
const DIED = 9;
const open = [];

function keep(closable) {
  closable.on('error', () => {});
  open.push(closable);
  return closable;
}

async function jobs() {
  const queue = keep(new Queue('sums', { connection }));
  const events = keep(new QueueEvents('sums', { connection }));
  await events.waitUntilReady();
  keep(new Worker('sums', async (job) => {
    await job.updateProgress(50);
    await job.log('at work');
    if (job.attemptsMade < job.data.fails) throw new Error('not yet');
    return job.data.a + job.data.b;
  }, { connection, concurrency: 8 }));
  const many = await queue.addBulk(Array.from({ length: 100 }, (_, n) => ({ name: 'sum', data: { a: n, b: 1 } })));
  const results = await Promise.all(many.map((job) => job.waitUntilFinished(events, 30000)));
  assert.deepStrictEqual(results, many.map((_, n) => n + 1));
  const retried = await queue.add('sum', { a: 1, b: 2, fails: 2 }, { attempts: 3, backoff: { type: 'exponential', delay: 10 } });
  assert.strictEqual(await retried.waitUntilFinished(events, 30000), 3);
  const delayed = await queue.add('sum', { a: 20, b: 22 }, { delay: 200 });
  assert.strictEqual(await delayed.getState(), 'delayed');
  assert.strictEqual(await delayed.waitUntilFinished(events, 30000), 42);
  const lost = await queue.add('sum', { fails: 9 });
  await assert.rejects(lost.waitUntilFinished(events, 30000), /not yet/);
  const counts = await queue.getJobCounts('completed', 'failed', 'waiting', 'active', 'delayed');
  assert.deepStrictEqual(counts, { completed: 102, failed: 1, waiting: 0, active: 0, delayed: 0 });
  assert.deepStrictEqual((await queue.getJobLogs(many[0].id)).logs, ['at work']);
  assert.strictEqual((await queue.clean(0, 1000, 'completed')).length, 102);
}

async function orderOfPriorities() {
  const queue = keep(new Queue('priorities', { connection }));
  for (const priority of [3, 1, 2, 1]) await queue.add('job', { priority }, { priority });
  assert.deepStrictEqual(await queue.getCountsPerPriority([1, 2, 3]), { 1: 2, 2: 1, 3: 1 });
  const order = [];
  const worker = keep(new Worker('priorities', async (job) => order.push(job.data.priority), { connection, autorun: false }));
  const drained = new Promise((resolve) => worker.on('drained', resolve));
  worker.run();
  await drained;
  assert.deepStrictEqual(order, [1, 1, 2, 3]);
  await queue.obliterate({ force: true });
}

async function flows() {
  const events = keep(new QueueEvents('parents', { connection }));
  await events.waitUntilReady();
  const flow = keep(new FlowProducer({ connection }));
  keep(new Worker('children', async (job) => job.data.n * 2, { connection, concurrency: 3 }));
  keep(new Worker('parents', async (job) => {
    const values = Object.values(await job.getChildrenValues());
    return values.reduce((sum, value) => sum + value, 0);
  }, { connection }));
  const children = Array.from({ length: 10 }, (_, n) => ({ name: 'child', queueName: 'children', data: { n } }));
  const { job } = await flow.add({ name: 'parent', queueName: 'parents', data: {}, children });
  assert.strictEqual(await job.waitUntilFinished(events, 30000), 90);
}

async function schedulersAndDeduplication() {
  const queue = keep(new Queue('scheduled', { connection }));
  const first = await queue.add('once', {}, { deduplication: { id: 'same' }, delay: 60000 });
  const second = await queue.add('once', {}, { deduplication: { id: 'same' }, delay: 60000 });
  assert.strictEqual(first.id, second.id);
  await first.remove();
  let times = 0;
  await queue.upsertJobScheduler('often', { every: 200 }, { name: 'tick' });
  await new Promise((resolve) => {
    keep(new Worker('scheduled', async () => {
      times += 1;
      if (times === 3) resolve();
    }, { connection }));
  });
  assert.strictEqual((await queue.getJobSchedulers()).length, 1);
  assert.ok(await queue.removeJobScheduler('often'));
}

async function limits() {
  const queue = keep(new Queue('limited', { connection }));
  const events = keep(new QueueEvents('limited', { connection }));
  await events.waitUntilReady();
  const began = Date.now();
  keep(new Worker('limited', async () => 'done', { connection, limiter: { max: 2, duration: 300 } }));
  const many = await queue.addBulk(Array.from({ length: 5 }, () => ({ name: 'job', data: {} })));
  await Promise.all(many.map((job) => job.waitUntilFinished(events, 30000)));
  assert.ok(Date.now() - began >= 500, 'it did not wait');
}

const settings = { connection, stalledInterval: 200, lockDuration: 300 };

// A worker that dies at work; another one gets its job.
async function stalledJobs() {
  const queue = keep(new Queue('stalls', { connection }));
  const events = keep(new QueueEvents('stalls', { connection }));
  await events.waitUntilReady();
  const job = await queue.add('job', { n: 1 });
  const { status } = spawnSync(process.execPath, [__filename, String(connection.port), 'dies'], { stdio: 'inherit' });
  assert.strictEqual(status, DIED);
  keep(new Worker('stalls', async (stalled) => stalled.data.n + 1, settings));
  assert.strictEqual(await job.waitUntilFinished(events, 30000), 2);
}

async function main() {
  for (const part of [jobs, orderOfPriorities, flows, schedulersAndDeduplication, limits, stalledJobs]) await part();
  await Promise.all(open.map((closable) => closable.close()));
}

if (process.argv[3] === 'dies') {
  keep(new Worker('stalls', () => process.exit(DIED), settings));
} else {
  main().then(() => process.exit(0), (error) => {
    console.error(error);
    process.exit(1);
  });
}
