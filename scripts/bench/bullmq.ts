/**
 * BullMQ, used as its documentation says for speed: bulk additions, concurrency, completed jobs removed. A job
 * counts as handled when its worker says `completed`: Redis has then acknowledged it.
 */
import { FlowProducer, Queue, Worker } from 'bullmq';
import { Redis } from 'ioredis';
import { arrivals, clockMs, closedLoop, paced, untilEnd, windowed } from './pace.ts';
import type { Role, RoleOptions } from './player.ts';
import { bodyFiller, documentAt, stationsMax } from './sample.ts';

const connect = (options: RoleOptions): Redis => new Redis(options.redisUrl, { maxRetriesPerRequest: null });
const data = (n: number) => ({ id: n, sent: clockMs(), task: `task-${n}`, filler: bodyFiller });
const kept = { removeOnComplete: true, removeOnFail: true };
const prefix = (options: RoleOptions): string => `${options.prefix}:bullmq`;
/** What its table of measurements calls best; more gains nothing. */
const concurrency = 50;

export const send: Role = async (options, started) => {
  const queue = new Queue('hop', { connection: connect(options), prefix: prefix(options) });
  await queue.waitUntilReady();
  await started();
  if (options.rate > 0) await paced(options.messages, options.rate, (n) => queue.add('m', data(n), kept));
  else {
    const batchOf = (batch: number) =>
      Array.from({ length: 100 }, (_, n) => ({ name: 'm', data: data(batch * 100 + n), opts: kept }));
    await windowed(options.messages / 100, 4, (batch) => queue.addBulk(batchOf(batch)));
  }
  return {};
};

export const receive: Role = async (options, started) => {
  await started();
  const counted = arrivals(options.messages);
  const worker = new Worker('hop', async () => {}, {
    connection: connect(options),
    prefix: prefix(options),
    concurrency,
  });
  worker.on('completed', (job) => counted.met(job.data.sent));
  await counted.all;
  await worker.close();
  return counted.report();
};

/** Flows of five chained children: a job waits for the one before it, and the last of them ends the flow. */
export const chain: Role = async (options, started) => {
  const documents = connect(options);
  const flows = new FlowProducer({ connection: connect(options), prefix: prefix(options) });
  const node = (n: number, station: number): Parameters<FlowProducer['add']>[0] => ({
    ...{ name: 'm', queueName: `chain-${station}`, data: data(n), opts: kept },
    ...(station > 0 ? { children: [node(n, station - 1)] } : {}),
  });
  const loop = closedLoop(options.messages, options.concurrency, (first, many) =>
    flows.addBulk(Array.from({ length: many }, (_, n) => node(first + n, stationsMax - 1))),
  );
  const workers = options.stations.map((station) => {
    const worker = new Worker(
      `chain-${station}`,
      async (job) => {
        await documents.hset(`${options.prefix}:doc:${job.data.task}`, 'doc', documentAt(station));
      },
      { connection: connect(options), prefix: prefix(options), concurrency },
    );
    if (station === stationsMax - 1) worker.on('completed', loop.ended);
    return worker;
  });
  await Promise.all(workers.map((worker) => worker.waitUntilReady()));
  await started();
  if (options.stations.includes(stationsMax - 1)) {
    loop.begin();
    await loop.all;
  } else await untilEnd();
  await Promise.all(workers.map((worker) => worker.close(true)));
  return { per_second: loop.perSecond() };
};
