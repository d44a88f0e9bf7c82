/**
 * Transitions of boards of ten and of a thousand subtasks in turn, by the project manager's own handler: read what
 * the decision looks at, decide, settle. Timed from the handler's start to Redis's acknowledgement, one at a time.
 *
 * Each subtask is taken through its whole life: begun, finished, passed by the gate, merged. A small board that has
 * ended makes room for the next.
 */
import type { Handler, Message } from '@nexus/shared/bus';
import type { Kind } from '@nexus/shared/messages';
import type { BoardHead } from '@nexus/shared/messages/domain';
import { Redis } from 'ioredis';
import { type BoardKind, type BoardMessage, decide, Missing, type View } from '../../services/project-manager/board.ts';
import { type Tools, transition } from '../../services/project-manager/transition.ts';
import * as say from '../../test/tools/board.ts';
import { clockMs } from './pace.ts';
import type { Role } from './player.ts';
import { handleAll, openProduct } from './product.ts';
import { watchSettlements } from './watch-settlements.ts';

/** `strands`: two chains side by side. `wide`: nobody waits for anybody, the worst a board can be. */
export const shapes = ['strands', 'wide'] as const;
export type Shape = (typeof shapes)[number];
export const sizes = { small: 10, large: 1000 } as const;
export type Size = keyof typeof sizes;

/** One transition: of which board, by which message, how long in ms. */
export type Step = { shape: Shape; size: Size; kind: string; ms: number };

/** Few, so that also on a small board nearly every subtask that ends lets another begin: the same work on both. */
const strands = 2;
const rules = { ...say.rulesByDefault, subtasksMax: 1000 };
const agentFor = (): string => 'builder';
const nobodyElse = { othersFor: () => [], runtimes: async () => [], random: () => 0 };

export const board: Role = async (options, started) => {
  const redis = new Redis(options.redisUrl);
  let began = 0;
  let acknowledged: (ms: number) => void = () => {};
  watchSettlements(() => acknowledged(clockMs() - began));
  const bus = await openProduct(options, 'project-manager');
  const tools: Tools = { rules, agentFor, ...nobodyElse, capacity: async () => 1000 };
  const handler: Handler<BoardKind, Tools> = (message, given) => {
    began = clockMs();
    return transition(message, given);
  };
  const handlers = handleAll('project-manager', handler as unknown as (message: Message) => never);
  bus.consume({ mode: 'stream', slots: 64, tools, handlers: handlers as never });

  const seed = async (id: string, size: Size, shape: Shape): Promise<void> => {
    await redis.hset(bus.keys.task(id), taskDocument(id));
    await redis.hset(bus.keys.board(id), boardDocument(id, sizes[size], shape));
  };
  const deliver = async (message: BoardMessage): Promise<number> => {
    const done = new Promise<number>((resolve) => {
      acknowledged = resolve;
    });
    const { type, payload } = message as { type: Kind; payload: never };
    await bus.publish({ type, payload, thread: message.payload.task_id, actor: 'bench' });
    return done;
  };

  await started();
  const steps: Step[] = [];
  for (const shape of shapes) {
    const players = await Promise.all(
      (['small', 'large'] as const).map((size) =>
        openPlayer(redis, bus.keys.board, `${shape}-${size}`, (id) => seed(id, size, shape)),
      ),
    );
    for (let round = 0; round < options.messages; round += 1) {
      for (const [at, size] of (['small', 'large'] as const).entries()) {
        const message = await players[at]?.next();
        if (message) steps.push({ shape, size, kind: message.type, ms: await deliver(message) });
      }
    }
  }
  redis.disconnect();
  return { steps };
};

/** Says what happens next on a board: whoever is at the gate goes on, else the first that has an agent. */
const openPlayer = async (
  redis: Redis,
  keyOf: (id: string) => string,
  name: string,
  seed: (id: string) => Promise<void>,
) => {
  let number = 1;
  let id = `${name}-${number}`;
  await seed(id);
  const headOf = async (): Promise<BoardHead> => JSON.parse((await redis.hget(keyOf(id), 'head')) ?? '{}') as BoardHead;
  const next = async (): Promise<BoardMessage> => {
    let head = await headOf();
    if (head.outcome !== null) {
      number += 1;
      id = `${name}-${number}`;
      await seed(id);
      head = await headOf();
    }
    const subtask = head.at_gate ?? head.dispatched[0] ?? '';
    const part = JSON.parse((await redis.hget(keyOf(id), `s:${subtask}`)) ?? '{}') as {
      state: string;
      attempt: number;
    };
    const of = { task_id: id, subtask_id: subtask, attempt: part.attempt };
    const tested = say.commitOf(`tested ${subtask}`);
    if (part.state === 'ready') return say.attemptBegun(of);
    if (part.state === 'working') return say.attemptFinished(of, { commit: say.commitOf(subtask) });
    if (part.state === 'merging') return say.mergeFinished(of, { commit: tested });
    const passed = { base: head.integration, tested_commit: tested, checks: [say.check()] };
    return say.verdictReached(of, passed);
  };
  return { next };
};

/** The hash of a new board, as the decision on its plan makes it. */
const boardDocument = (id: string, count: number, shape: Shape): Record<string, string> => {
  const plan = Array.from({ length: count }, (_, at) => ({
    id: `part-${at}`,
    depends_on: shape === 'strands' && at >= strands ? [`part-${at - strands}`] : [],
  }));
  const slots = { capacity: 1000, load: new Map<string, number>() };
  const around = { rules, agentFor, othersFor: () => [], chance: 0, slots, task: say.taskFacts };
  const view: View = { taskId: id, board: null, read: 'all', ...around };
  const decision = decide(view, say.planAccepted(id, plan), Date.now());
  if (decision instanceof Missing) throw new Error('a new board reads nothing');
  const parts = decision.subtasks.map((part) => [`s:${part.id}`, JSON.stringify(part)] as const);
  return { revision: '1', head: JSON.stringify(decision.head), ...Object.fromEntries(parts) };
};

const taskDocument = (id: string): Record<string, string> => {
  const at = new Date().toISOString();
  const head = {
    ...{ task_id: id, title: 'Build it', status: 'in_progress', reason: null, priority: 'NORMAL', mode: 'parallel' },
    ...{ workflow: 'simple', created_at: at, updated_at: at, ended_at: null, deadline: null, repository: null },
    ...{ base: null, base_commit: say.baseCommit, warnings: [], actor: 'bench' },
  };
  const request = JSON.stringify({ request: 'Build it' });
  return { revision: '1', status: 'in_progress', head: JSON.stringify(head), request };
};
