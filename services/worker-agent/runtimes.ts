/**
 * Runtimes: the ways in which an agent can be run. One file each in `runtimes/`.
 *
 * A runtime takes one request and comes back with one result, always: whatever the agent does, a failure
 * is a code in the result and never an exception. It runs the agent under the leash, in a process group
 * of its own, with the environment it was given, marked with `mark`; it honours the signal, the time box
 * and the output limit; and it leaves no process behind.
 *
 * To add one: write `runtimes/<name>.ts` with `export const runtime = defineRuntime({ name: '<name>', … })`,
 * and `runtimes/<name>.conformance.ts`, which says in that runtime's own words what the conformance suite
 * asks of an agent. The loader and the suite find both; nothing else is edited.
 */
import { readdir } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { pathToFileURL } from 'node:url';
import type { AgentDefinition } from '@nexus/shared/catalog';
import { type ErrorCode, fail, toAppError } from '@nexus/shared/errors';
import type { Cost, RuntimeState, TaskRequest } from '@nexus/shared/messages/domain';
import type { Mount, Sandbox } from '@nexus/shared/process';
import type { SpendGate, Usage } from '@nexus/shared/spend';
import { z } from 'zod';
import type { WorkerConfig } from './config.ts';
import type { Guard } from './safety/safety.ts';

/** What a runtime may look at to say whether it can be used: the worker's settings, and the task's own wishes. */
export type RuntimeContext = {
  agentCommand: string | null;
  rehearsal: boolean;
  /** The worker's settings, for runtimes that have their own among them. */
  settings?: Partial<WorkerConfig>;
  /** What agents are started in; left out: nothing. */
  sandbox?: Sandbox | undefined;
  /** Null where nobody asks for a task in particular, as in the worker's presence. */
  task: Pick<TaskRequest, 'agent_command' | 'scenario'> | null;
};

export type Usable = {
  usable: boolean;
  /** What was looked for, and what was found: part of a sentence. */
  looked: string;
  /** The one thing that makes it usable; empty if it is, unless something else is wrong. */
  mend: string;
  /** What keeps it from being used may be over in a moment, as with a server that does not answer. */
  passing?: boolean;
};

/** Everything about one run of one agent. */
export type RunRequest = {
  ids: { taskId: string; subtaskId: string; attempt: number; role: string; kind: string };
  agent: AgentDefinition;
  prompt: string;
  /** The private clone: the agent's current folder. */
  folder: string;
  /** The whole environment of the agent; nothing of the worker's own is added. */
  env: Record<string, string>;
  /** What keeps the agent in, and has what it needs in the place of keys. */
  guard?: Guard;
  /** Every process of this attempt carries it as NEXUS_MARK. */
  mark: string;
  timeBoxMs: number;
  outputBytesMax: number;
  signal: AbortSignal;
  /** Called with what the agent prints, as it prints it. */
  onOutput: (chunk: string, stream?: 'stdout' | 'stderr') => void;
  /** The conversation to go on with; null: a new one. */
  session: string | null;
  /** What is known of that conversation beside its id. */
  conversation?: Conversation | null;
  /** Called as soon as the conversation has an id: a later delivery can go on with it. */
  onSession?: (id: string) => void;
  /** Called with the prompt as it is sent, where the runtime sends another one than it was given. */
  onPrompt?: (sent: string) => void;
  /** Called with what people should know of this run, a sentence each. */
  onNotice?: (says: string) => void;
  /** Folders outside the clone that the agent's program itself has to write. */
  alsoWrites?: readonly string[];
  /** Folders that its sandbox shows it at another path. */
  mounts?: readonly Mount[] | undefined;
  context: RuntimeContext;
  /** The model, an alias or a full name; null or absent: the runtime's default. */
  model?: string | null;
  /** The most turns that the run may take; null: no limit. */
  maxTurns?: number | null;
  /** The most that this run may use. */
  budget?: { usd: number | null; tokens: number | null } | null;
  /** JSON schema of the final report, where the runtime can force it. */
  reportSchema?: unknown;
  /** Called with what the agent does, as it does it: for the journal and for the watch over stuck agents. */
  onEvent?: (event: AgentEvent) => void;
  /** Asked before each call of a model by runtimes that make their own calls. */
  spend?: SpendGate;
};

/** The budget of a run as people read it: it is smaller than any that they have set, and does not grow with a raise. */
export const budgetOfRun = ({ ids }: Pick<RunRequest, 'ids'>): string =>
  `attempt ${ids.attempt} at ${ids.subtaskId} (what was left of all its limits when it began)`;

/** An earlier conversation, as a run may go on with it. */
export type Conversation = {
  /** A copy of its transcript, for a machine that has none; null: it lies where the runtime keeps them. */
  transcript: string | null;
  /** Go on under a new id: the end of whoever had it last is not confirmed. */
  fork: boolean;
  /** What was booked for it in all, told at an end of it or reckoned while it went. */
  usdBefore: number;
  /** The same of its tokens; left out: nothing is known of them. */
  usageBefore?: Usage | undefined;
};

/** Something that an agent did, as its runtime tells it. */
export type AgentEvent =
  | { kind: 'text' | 'thinking'; text: string }
  | { kind: 'tool_call'; id: string; tool: string; input: unknown }
  | { kind: 'tool_result'; id: string; ok: boolean; text: string }
  | { kind: 'retry'; status: number | null; delay_ms: number; says: string }
  | { kind: 'usage'; usage: Usage; model?: string };

/** A provider's window is used up: the attempt is put aside, uncounted, until it opens again. */
export type Parked = {
  until: number | null;
  code: ErrorCode;
  says: string;
  account: string;
  /** Since when, in ms, it cannot be reached, over all deliveries of the attempt. */
  unreachableSince?: number | undefined;
};

export type RunResult = {
  ok: boolean;
  /** Why it failed; null if it did not. Aborted runs carry the code of the signal's reason. */
  code: ErrorCode | null;
  says: string;
  exitCode: number | null;
  signal: string | null;
  /** The end of what the agent printed. */
  outputTail: string;
  /** Processes that it had left running, and that were ended with it. */
  leftBehind: number;
  sessionId: string | null;
  cost: Cost;
  /** What parts of it cost where the cost of the whole is unknown: as much at least. */
  usdLeast?: number | null;
  /** What this run used; null where the runtime cannot say. */
  usage?: Usage | null;
  /** The model that answered. */
  model?: string | null;
  /** What paid: 'subscription', 'api_key', 'bedrock', 'vertex' or 'none'. */
  login?: string | null;
  /** The cost is what the use would have cost by price list; nobody is charged it. */
  notional?: boolean;
  toolCalls?: number;
  turns?: number;
  /** A structured report, used instead of the one that is read from the text. */
  report?: unknown;
  /** What the whole conversation has cost so far; a later run takes its own cost as the difference. */
  usdTotal?: number | null;
  /** The same of its tokens. */
  usageTotal?: Usage | null;
  /** How much of the context was in use at the end, and how much there is, in tokens. */
  context?: { used: number; window: number | null } | null;
  /** What it was seen to touch: paths, and commands as they were run. */
  touched?: { read: string[]; written: string[]; commands: string[] } | null;
  /** Path of a file that becomes evidence and can be carried to another machine. */
  transcript?: string | null;
  parked?: Parked | null;
};

/** Who is charged and limited for the calls that a CLI makes itself. */
export type Payer = {
  provider: string;
  account: string;
  /** The model that will be asked, by alias or name; null: not known before it runs. */
  model: string | null;
  /** Nobody is charged by the call, as with a subscription. */
  notional: boolean;
  /** By what its use is priced: USD that it tells, the model that it tells, or neither. Left out: by USD. */
  tells?: 'usd' | 'model' | 'use';
};

export type Runtime = {
  name: string;
  capabilities: {
    /** Goes on with an earlier conversation. Without it, `resume` runs anew with the hand-over in the prompt. */
    resume: boolean;
    /** Knows what it cost. */
    cost: boolean;
    /** Can be told something while its agent works: it has a `nudge`. */
    nudge?: boolean;
  };
  /** Who pays for a run of this agent, where the runtime's own process makes the calls. */
  payer?(context: RuntimeContext, agent: AgentDefinition): Promise<Payer | null>;
  /** Looks, really, whether it can be used here; never throws. */
  usable(context: RuntimeContext): Promise<Usable>;
  run(request: RunRequest): Promise<RunResult>;
  resume(session: string, request: RunRequest): Promise<RunResult>;
  /** The file with the transcript of a conversation, where it lies on this machine; null: there is none. */
  transcriptOf?(session: string, context: RuntimeContext): Promise<string | null>;
  /** Removes a conversation from this machine; false: there was none. */
  forget?(session: string, context: RuntimeContext): Promise<boolean>;
  /** Tells the agent that works in this folder something: that its time comes to an end, or that it seems stuck. */
  nudge?(folder: string, text: string): Promise<void>;
};

/** Checks nothing: it lets the compiler check, and names the type where a runtime is written. */
export const defineRuntime = (runtime: Runtime): Runtime => runtime;

const shape = z
  .object({
    name: z.string().regex(/^[a-z0-9][a-z0-9-]*$/),
    capabilities: z.object({ resume: z.boolean(), cost: z.boolean(), nudge: z.boolean().default(false) }),
    payer: z.function().optional(),
    usable: z.function(),
    run: z.function(),
    resume: z.function(),
    nudge: z.function().optional(),
    transcriptOf: z.function().optional(),
    forget: z.function().optional(),
  })
  .refine(({ capabilities, nudge }) => capabilities.nudge === (nudge !== undefined), {
    path: ['nudge'],
    error: 'goes together with the capability `nudge`',
  });

/** The order in which `auto` tries; runtimes that are not named come after these, by name. */
const preferred = ['claude-code', 'openai', 'command', 'scripted'];

/** Loads every runtime of a folder, in the order of preference. Throws `DEFINITION_INVALID` for a malformed one. */
export const loadRuntimes = async (
  folder: string = join(import.meta.dirname, 'runtimes'),
): Promise<Map<string, Runtime>> => {
  const files = (await readdir(folder)).filter((file) => /^[a-z0-9-]+\.ts$/.test(file)).sort();
  const runtimes: Runtime[] = [];
  for (const file of files.filter((name) => name !== 'conformance.ts')) {
    const module = (await import(pathToFileURL(join(folder, file)).href)) as { runtime?: unknown };
    runtimes.push(checked(module.runtime, file));
  }
  const rank = ({ name }: Runtime) => (preferred.indexOf(name) + preferred.length + 1) % (preferred.length + 1);
  return new Map(runtimes.sort((one, other) => rank(one) - rank(other)).map((runtime) => [runtime.name, runtime]));
};

/**
 * Asks every runtime whether it is usable: what a worker tells in its presence. Where NEXUS_RUNTIME names one, all
 * others are for those who ask for them: another account may pay for them.
 */
export const lookAtRuntimes = (runtimes: Map<string, Runtime>, context: RuntimeContext): Promise<RuntimeState[]> =>
  Promise.all(
    [...runtimes.values()].map(async (runtime) => {
      const { name, capabilities } = runtime;
      const { usable, looked, mend } = await lookAt(runtime, context);
      const only_asked = ![undefined, 'auto', name].includes(context.settings?.runtime);
      return { name, usable, looked, mend, tells_cost: capabilities.cost, ...(only_asked ? { only_asked } : {}) };
    }),
  );

/**
 * Chooses the runtime of an attempt: the first of `wishes` that is set decides, `auto` takes the first usable.
 * Nothing is rehearsed unless a scenario was given. Where none is usable, one that may be so in a moment is taken: its
 * run puts the attempt aside. Throws `RUNTIME_UNKNOWN` or `NO_RUNTIME`.
 */
export const chooseRuntime = async (
  runtimes: Map<string, Runtime>,
  wishes: (string | null | undefined)[],
  context: RuntimeContext,
): Promise<Runtime> => {
  const wish = wishes.find((name) => name !== null && name !== undefined && name !== '') ?? 'auto';
  if (wish !== 'auto' && !runtimes.has(wish)) {
    throw fail('RUNTIME_UNKNOWN', { runtime: wish, known: [...runtimes.keys()].join(', ') });
  }
  const candidates = [...runtimes.values()].filter(({ name }) =>
    wish === 'auto' ? name !== 'scripted' : name === wish,
  );
  const states: (Usable & { runtime: Runtime; name: string })[] = [];
  for (const runtime of candidates) {
    const state = { runtime, name: runtime.name, ...(await lookAt(runtime, context)) };
    if (state.usable) return runtime;
    states.push(state);
  }
  const passing = states.find((state) => state.passing);
  if (passing) return passing.runtime;
  throw fail('NO_RUNTIME', {
    looked: states.map((state) => `${state.name}: ${state.looked}`).join('; ') || 'nothing, since there is no runtime',
    mend: states.at(-1)?.mend ?? 'add a runtime',
  });
};

/** A run that was aborted, as a result: the signal's reason says why. */
export const codeOfAbort = (signal: AbortSignal): ErrorCode => {
  const { code } = toAppError(signal.reason);
  return code === 'UNEXPECTED' ? 'STOPPED' : code;
};

const lookAt = async (runtime: Runtime, context: RuntimeContext): Promise<Usable> => {
  try {
    return await runtime.usable(context);
  } catch (thrown) {
    return { usable: false, looked: `looking failed: ${toAppError(thrown).message}`, mend: 'mend the runtime itself' };
  }
};

const checked = (given: unknown, file: string): Runtime => {
  const read = shape.safeParse(given);
  if (!read.success) {
    const problem = read.error.issues
      .map((issue) => `${issue.path.join('.') || 'runtime'}: ${issue.message}`)
      .join('; ');
    throw fail('DEFINITION_INVALID', { file: `runtimes/${file}`, problem });
  }
  if (read.data.name !== basename(file, '.ts')) {
    const problem = `it calls itself "${read.data.name}", and its file must have that name`;
    throw fail('DEFINITION_INVALID', { file: `runtimes/${file}`, problem });
  }
  return given as Runtime;
};
