/**
 * Keeps the sessions of one run of one agent: in the ledger who drives them and how they stand, in the hub of the task
 * their transcripts, so that another machine can go on.
 *
 *   opened ──▶ active ──save──▶ active ──close──▶ idle: the attempt ended, or was put aside, or stopped
 *                 │                        └────▶ lost: its runtime kept nothing of it
 *                 └──another is opened──▶ ended: it went on under another id
 *
 * An agent works whether or not this can be written down: what fails here is a line in the log.
 */
import { readFile, stat } from 'node:fs/promises';
import { hostname } from 'node:os';
import type { HandlerTools } from '@nexus/shared/bus';
import { isFailure, toAppError } from '@nexus/shared/errors';
import { commitEvidence, refs } from '@nexus/shared/git';
import { readSession, type Session } from '@nexus/shared/ledger';
import { writeSession } from '@nexus/shared/ledger/write';
import { noUsage, type Usage } from '@nexus/shared/spend';
import type { Order, WorkerTools } from '../attempt.ts';
import type { AgentEvent, RunResult, Runtime, RuntimeContext } from '../runtimes.ts';
import { type Booked, bookedOf } from './booked.ts';
import { forgetOld } from './sweep.ts';

type Tools = Pick<
  WorkerTools & HandlerTools,
  'store' | 'keys' | 'claim' | 'now' | 'checkpoint' | 'log' | 'redactor' | 'config' | 'spending'
>;

export type Keeper = {
  /** The id of the conversation that is under way; null before the first. */
  current(): string | null;
  /** A conversation begins, or goes on; what was under way before it has ended. Resolves when that is written down. */
  opened(id: string): Promise<void>;
  heard(event: AgentEvent): void;
  /** Writes down how it stands, and carries its transcript to the hub where that has grown. */
  save(): Promise<void>;
  /** The run is over. `open`: its attempt goes on some day. */
  close(end: { result: RunResult | null; open: boolean; why: string }): Promise<void>;
};

/** A transcript that is larger stays where it is: evidence is read up to this size. */
const transcriptBytesMax = 16_000_000;
const triesMax = 3;

export const openKeeper = (options: {
  order: Order;
  runtime: Pick<Runtime, 'name' | 'transcriptOf'>;
  context: RuntimeContext;
  hub: string;
  /** The session that the run was asked to go on with. */
  from: string | null;
  /** What was booked for that session. */
  before: Booked;
  tools: Tools;
}): Keeper => {
  const { order, runtime, context, hub, tools } = options;
  let doc: Session | null = null;
  let revision = 0;
  let carried = -1;
  let turn: Promise<unknown> = Promise.resolve();
  const at = (): string => new Date(tools.now()).toISOString();

  const inTurn = (work: () => Promise<void>): Promise<void> => {
    const done = turn.then(work).catch((thrown: unknown) => {
      if (!isFailure(thrown, 'CLAIM_LOST'))
        tools.log.warn({ err: toAppError(thrown) }, 'a session was not written down');
    });
    turn = done;
    return done;
  };
  const write = async (): Promise<void> => {
    for (let tries = 1; doc !== null; tries += 1) {
      try {
        await tools.checkpoint(writeSession(tools.keys, revision, { ...doc, last_activity: at() }));
        revision += 1;
        return;
      } catch (thrown) {
        if (!isFailure(thrown, 'TRANSITION_ILLEGAL') || tries === triesMax) throw thrown;
        revision = (await readSession(tools.store, tools.keys, doc.session_id))?.revision ?? 0;
      }
    }
  };
  const carry = async (): Promise<void> => {
    if (doc === null || !runtime.transcriptOf) return;
    const file = await runtime.transcriptOf(doc.session_id, context);
    const size = file === null ? 0 : (await stat(file)).size;
    if (file === null || size === carried || size > transcriptBytesMax) return;
    const ref = refs(order.task_id).evidence(`session-${doc.session_id}`);
    const files = { [transcriptPath]: tools.redactor.text(await readFile(file, 'utf8')) };
    await commitEvidence({ hub, ref, files, message: `Transcript of session ${doc.session_id}` });
    carried = size;
    doc.transcript = { ref, path: transcriptPath };
  };
  const begin = async (id: string): Promise<void> => {
    const before: Session | null = doc;
    if (before !== null && before.session_id !== id) {
      await carry();
      Object.assign(before, { status: 'ended', holder: null, ended_at: at(), why: `it went on as ${id}` });
      await write();
    }
    const found = await readSession(tools.store, tools.keys, id);
    revision = found?.revision ?? 0;
    carried = -1;
    const forkedFrom = before?.session_id ?? (options.from === id ? null : options.from);
    // What follows another one in the same run begins to count at 0.
    const total = before === null ? options.before : { usd: 0, usage: noUsage };
    const booked = await bookedOf(order, tools.spending);
    const money = before?.session_id === id ? {} : { ...usdOf(total.usd, booked), ...usageOf(total.usage, booked) };
    doc = { ...(found?.session ?? freshDoc(order, id, at(), forkedFrom)), ...held(), ...money, runtime: runtime.name };
    await write();
    if (forkedFrom !== null && before === null) await endForked(forkedFrom, id);
  };
  const held = () => ({
    status: 'active' as const,
    holder: tools.claim.token,
    instance_id: tools.claim.instanceId,
    host: hostname(),
    attempt: order.attempt,
    ended_at: null,
    why: '',
  });
  /** Whoever drives it still, if anybody does, drives a conversation that nobody goes on with. */
  const endForked = async (id: string, as: string): Promise<void> => {
    const found = await readSession(tools.store, tools.keys, id);
    if (found === null) return;
    const ended = {
      ...found.session,
      status: 'ended' as const,
      holder: null,
      ended_at: at(),
      why: `it went on as ${as}`,
    };
    await tools.checkpoint(writeSession(tools.keys, found.revision, ended));
  };

  return {
    current: () => doc?.session_id ?? null,
    opened: (id) => inTurn(() => begin(id)),
    heard: (event) => {
      if (doc === null) return;
      if (event.kind === 'tool_call') doc.tool_calls += 1;
      if (event.kind !== 'usage') return;
      const used = Object.values(event.usage).reduce((sum, count) => sum + count, 0);
      doc.turns += 1;
      doc.context = { used, window: doc.context?.window ?? null };
    },
    save: () =>
      inTurn(async () => {
        await carry();
        await write();
      }),
    close: ({ result, open, why }) =>
      inTurn(async () => {
        if (doc === null) return;
        await carry();
        const isLost = runtime.transcriptOf !== undefined && doc.transcript === null;
        Object.assign(doc, result === null ? {} : told(doc, result, await bookedOf(order, tools.spending)), {
          status: isLost ? 'lost' : 'idle',
          holder: null,
          ended_at: open ? null : at(),
          why: isLost ? 'its runtime kept no transcript of it' : tools.redactor.text(why).slice(0, 1000),
        });
        await write();
        const old = await forgetOld(tools.store, tools.keys, tools.now(), tools.config.sessionKeep);
        if (old.length > 0) await tools.checkpoint(old);
      }),
  };
};

export const transcriptPath = 'transcript.jsonl';

const freshDoc = (order: Order, id: string, at: string, forkedFrom: string | null): Session => ({
  session_id: id,
  runtime: '',
  agent_id: order.agent_id,
  task_id: order.task_id,
  subtask_id: order.subtask_id,
  attempt: order.attempt,
  status: 'active',
  created_at: at,
  last_activity: at,
  holder: null,
  instance_id: '',
  host: '',
  model: null,
  login: null,
  notional: false,
  context: null,
  cost: { usd: null, tokens: null },
  usd_total: 0,
  usd_booked: 0,
  usage_total: noUsage,
  usage_booked: noUsage,
  turns: 0,
  tool_calls: 0,
  transcript: null,
  forked_from: forkedFrom,
  ended_at: null,
  why: '',
});

/** What the result of a run tells of its session. */
const told = (doc: Session, result: RunResult, booked: Booked): Partial<Session> => ({
  model: result.model ?? doc.model,
  login: result.login ?? doc.login,
  notional: result.notional ?? doc.notional,
  context: result.context ?? doc.context,
  cost: { usd: sum(doc.cost.usd, result.cost.usd), tokens: sum(doc.cost.tokens, result.cost.tokens) },
  ...(typeof result.usdTotal === 'number' ? usdOf(result.usdTotal, booked) : {}),
  ...(result.usageTotal ? usageOf(result.usageTotal, booked) : {}),
});

const usdOf = (total: number, { usd }: Booked) => ({ usd_total: total, usd_booked: usd });
const usageOf = (total: Usage, { usage }: Booked) => ({ usage_total: total, usage_booked: usage });

const sum = (one: number | null, two: number | null): number | null =>
  one === null || two === null ? (one ?? two) : one + two;
