/**
 * BullMQ, used as its documentation says for speed: bulk additions, concurrency, completed jobs removed.
 */
import { FlowProducer, Queue, Worker } from 'bullmq';
import { Redis } from 'ioredis';
import { latencies, paced, windowed } from './pace.ts';
import type { Role, RoleOptions } from './player.ts';

const connect = (options: RoleOptions): Redis => new Redis(options.redisUrl, { maxRetriesPerRequest: null });
const filler = 'x'.repeat(620);
const data = (n: number) => ({ id: n, sent: performance.timeOrigin + performance.now(), filler });
const kept = { removeOnComplete: true, removeOnFail: true };
const prefix = (options: RoleOptions): string => `${options.prefix}:bullmq`;

export const send: Role = async (options, started) => {
  const queue = new Queue('hop', { connection: connect(options), prefix: prefix(options) });
  await queue.waitUntilReady();
  await started();
  const began = performance.now();
  if (options.rate > 0) await paced(options.messages, options.rate, (n) => queue.add('m', data(n), kept));
  else {
    await windowed(options.messages / 100, 4, (batch) =>
      queue.addBulk(Array.from({ length: 100 }, (_, n) => ({ name: 'm', data: data(batch * 100 + n), opts: kept }))),
    );
  }
  return { ms: performance.now() - began };
};

export const receive: Role = async (options, started) => {
  await started();
  const times = latencies(options.messages);
  const worker = new Worker(
    'hop',
    async (job) => {
      times.met(job.data.sent);
    },
    { connection: connect(options), prefix: prefix(options), concurrency: 50 },
  );
  await times.all;
  await worker.close();
  return times.report();
};

/** Five chained children each: the parent runs last. */
export const feed: Role = async (options, started) => {
  const flows = new FlowProducer({ connection: connect(options), prefix: prefix(options) });
  await started();
  const began = performance.now();
  const node = (n: number, station: number): Parameters<FlowProducer['add']>[0] => ({
    name: 'm',
    queueName: `chain-${station}`,
    data: data(n),
    opts: kept,
    ...(station > 0 ? { children: [node(n, station - 1)] } : {}),
  });
  await windowed(options.messages / 50, 4, (batch) =>
    flows.addBulk(Array.from({ length: 50 }, (_, n) => node(batch * 50 + n, 4))),
  );
  return { ms: performance.now() - began };
};

export const chain: Role = async (options, started) => {
  await started();
  const times = latencies(options.messages);
  const document = connect(options);
  const workers = options.stations.map(
    (station) =>
      new Worker(
        `chain-${station}`,
        async (job) => {
          await document.hset(`${options.prefix}:doc:${job.data.id}`, 'doc', JSON.stringify(job.data));
          if (station === 4) times.met(0);
        },
        { connection: connect(options), prefix: prefix(options), concurrency: 50 },
      ),
  );
  if (options.stations.includes(4)) await times.all;
  else await new Promise((resolve) => process.once('message', resolve));
  await Promise.all(workers.map((worker) => worker.close()));
  return options.stations.includes(4) ? times.report() : {};
};
