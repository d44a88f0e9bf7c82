/**
 * This product, as it is: the same bus, catalog, validation, journal and settlement that the services use.
 */
import { type Bus, done, followUp, type HandlersOf, openBus } from '@nexus/shared/bus';
import { fabricConfig, loadConfig } from '@nexus/shared/config';
import { kindsTo } from '@nexus/shared/messages';
import type { ServiceName } from '@nexus/shared/messages/domain';
import { openMeters, silentLog } from '@nexus/shared/telemetry';
import { latencies, paced, windowed } from './pace.ts';
import type { Role, RoleOptions } from './player.ts';

const open = (options: RoleOptions, service: ServiceName): Promise<Bus> =>
  openBus({
    config: loadConfig(fabricConfig, { REDIS_URL: options.redisUrl, NEXUS_PREFIX: options.prefix }),
    service,
    log: silentLog(),
    meters: openMeters(service),
    observer: service === 'gateway',
  });

/** Wall clock in ms with three decimals, seventeen characters: both sides are on one machine. */
const stamp = (): string => (performance.timeOrigin + performance.now()).toFixed(3);
const filler = 'x'.repeat(220);
const draft = (n: number) => ({
  type: 'cancellation.requested' as const,
  payload: { task_id: `task-${n % 997}`, reason: `${stamp()} ${filler}` },
  thread: `task-${n % 997}`,
  actor: 'bench',
});

export const send: Role = async (options, started) => {
  const bus = await open(options, 'gateway');
  await started();
  const began = performance.now();
  const publish = (n: number): Promise<unknown> => bus.publish(draft(n));
  if (options.rate > 0) await paced(options.messages, options.rate, publish);
  else await windowed(options.messages, 512, publish);
  return { ms: performance.now() - began };
};

/** Every kind of the orchestrator with one handler: the benchmark sends only one of them. */
const handlers = (
  work: (message: { payload: { task_id: string; reason?: string } }) => ReturnType<typeof done>,
  service: ServiceName,
) => Object.fromEntries(kindsTo(service).map((kind) => [kind, work])) as unknown as HandlersOf<'orchestrator'>;

export const receive: Role = async (options, started) => {
  const bus = await open(options, 'orchestrator');
  await started();
  const times = latencies(options.messages);
  const ended = times.all.then(() => settledAll(bus));
  bus.consume({
    mode: 'stream',
    slots: options.concurrency,
    tools: {},
    handlers: handlers((message) => {
      times.met(Number(message.payload.reason?.slice(0, 17)));
      return done();
    }, 'orchestrator'),
  });
  await ended;
  return times.report();
};

/** Until the last acknowledgement is in, too. */
const settledAll = async (bus: Bus): Promise<void> => {
  while (bus.busy() > 0) await new Promise((resolve) => setImmediate(resolve));
};

/** Five stations that each write the task's document and pass it on: a task's journey without the work. */
const services = ['orchestrator', 'project-manager', 'orchestrator', 'project-manager', 'orchestrator'] as const;
const kinds = [
  'cancellation.requested',
  'board.discarded',
  'deletion.requested',
  'board.cancelled',
  'deadline.reached',
] as const;

export const feed: Role = async (options, started) => {
  const bus = await open(options, 'gateway');
  await started();
  const began = performance.now();
  const first = (n: number): Promise<unknown> =>
    bus.publish({
      ...draft(n),
      payload: { task_id: `task-${n}`, reason: `${stamp()} ${filler}` },
      thread: `task-${n}`,
    });
  await windowed(options.messages, 256, first);
  return { ms: performance.now() - began };
};

/** The payload of the kind at a station, carrying the time at which the chain began. */
const payloadAt = (station: number, task: string, reason: string): unknown =>
  ({
    'cancellation.requested': { task_id: task, reason },
    'board.discarded': { task_id: task },
    'deletion.requested': { task_id: task },
    'board.cancelled': { task_id: task, reason },
    'deadline.reached': { task_id: task, deadline: reason },
  })[kinds[station] ?? 'board.discarded'];

export const chain: Role = async (options, started) => {
  const mine = new Set(options.stations);
  const last = mine.has(4);
  const times = latencies(options.messages);
  const opened: Bus[] = [];
  await started();
  for (const service of new Set(options.stations.map((station) => services[station] ?? 'orchestrator'))) {
    const bus = await open(options, service);
    opened.push(bus);
    const work = (message: { type: string; payload: { task_id: string; reason?: string } }) => {
      const station = kinds.indexOf(message.type as (typeof kinds)[number]);
      const task = message.payload.task_id;
      if (station === 4) times.met(0);
      const publish =
        station < 4
          ? [
              followUp(
                kinds[station + 1] as 'board.discarded',
                payloadAt(station + 1, task, filler) as { task_id: string },
              ),
            ]
          : [];
      const set = { status: String(station), head: `{"station":${station},"filler":"${filler}"}` };
      return done({ publish, write: [{ op: 'patch', key: bus.keys.task(task), revision: station, set }] });
    };
    bus.consume({ mode: 'stream', slots: options.concurrency, tools: {}, handlers: handlers(work as never, service) });
  }
  if (!last) {
    await new Promise((resolve) => process.once('message', resolve));
    return {};
  }
  await times.all;
  for (const bus of opened) await settledAll(bus);
  return times.report();
};
