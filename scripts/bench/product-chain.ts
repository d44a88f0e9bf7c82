/**
 * A chain of five hops in this product: each station settles its delivery together with a write of the task's
 * document, guarded by its revision, and the message to the next station. Whoever plays the last station also
 * sends, and keeps so many chains under way.
 *
 * In one process all stations are handlers of one service; in five each is a service of its own.
 */
import { type Bus, done, type FollowUp, followUp, type Message, type Outcome } from '@nexus/shared/bus';
import type { Kind } from '@nexus/shared/messages';
import type { ServiceName } from '@nexus/shared/messages/domain';
import { closedLoop, untilEnd } from './pace.ts';
import type { Role } from './player.ts';
import { handleAll, openProduct } from './product.ts';
import { documentAt, stationsMax, text } from './sample.ts';
import { watchSettlements } from './watch-settlements.ts';

const commit = 'c'.repeat(40);

const subtaskOf = (task: string) => ({ task_id: task, subtask_id: 'build', attempt: 1 });

/** What goes to the station of each service. */
const toService = {
  orchestrator: (task: string, station: number) =>
    followUp('cancellation.requested', { task_id: task, reason: `${station} ${text(160)}` }),
  'project-manager': (task: string) => followUp('board.cancelled', { task_id: task, reason: text(160) }),
  'worker-agent': (task: string) =>
    followUp('subtask.dispatched', {
      ...subtaskOf(task),
      ...{ agent_id: 'builder', role: 'builder', kind: 'code', title: 'Build it', goal: 'Build it', grows: false },
      ...{ acceptance: [], files: [], time_box_minutes: 30, runtime: null, inputs: [], hand_over: null },
      integration: commit,
    }),
  'quality-checker': (task: string) =>
    followUp('candidate.submitted', {
      ...subtaskOf(task),
      ...{ title: 'Build it', kind: 'code', commit, integration: commit },
      ...{ setup: [], checks: [], before: null, allowed_red: [] },
    }),
  finalizer: (task: string) => followUp('merge.requested', { ...subtaskOf(task), base: commit, tested_commit: commit }),
} satisfies Partial<Record<ServiceName, (task: string, station: number) => FollowUp>>;

type Stationed = keyof typeof toService;
const inFive: Stationed[] = ['orchestrator', 'project-manager', 'worker-agent', 'quality-checker', 'finalizer'];

export const chain: Role = async (options, started) => {
  const together = options.stations.length > 1;
  const serviceAt = (station: number): Stationed => (together ? 'orchestrator' : (inFive[station] ?? 'orchestrator'));
  const mine = options.stations[0] ?? 0;
  const sends = options.stations.includes(stationsMax - 1);
  const isLast: boolean[] = [];
  const loop = closedLoop(options.messages, options.concurrency, (first, many) => {
    for (let n = first; n < first + many; n += 1) void publishFirst(bus, `task-${n}`);
  });
  watchSettlements((deliveries) => {
    for (const last of isLast.splice(0, deliveries)) if (last) loop.ended();
  });
  const bus = await openProduct(options, serviceAt(mine));
  const work = (message: Message): Outcome => {
    const { task_id: task, reason } = message.payload as { task_id: string; reason?: string };
    const station = together ? Number.parseInt(reason ?? '0', 10) : mine;
    const next = station + 1;
    isLast.push(next === stationsMax);
    return done({
      publish: next < stationsMax ? [toService[serviceAt(next)](task, next)] : [],
      write: [
        {
          op: 'patch',
          key: bus.keys.task(task),
          revision: station,
          set: { status: String(station), head: documentAt(station) },
        },
      ],
    });
  };
  await started();
  const service = serviceAt(mine);
  bus.consume({ mode: 'stream', slots: options.concurrency * 2, tools: {}, handlers: handleAll(service, work) });
  if (!sends) {
    await untilEnd();
    return {};
  }
  loop.begin();
  await loop.all;
  return { per_second: loop.perSecond() };
};

const publishFirst = (bus: Bus, task: string): Promise<unknown> => {
  const { type, payload } = toService.orchestrator(task, 0);
  return bus.publish({ type: type as Kind, payload: payload as never, thread: task, actor: 'bench' });
};
