/**
 * The runtime `claude-code`: the CLI of Claude Code, one process for each run.
 *
 * The prompt goes in by standard input; what it does comes out as a stream of events (`claude-code/reader.ts`), and the
 * last result decides (`outcome.ts`). A new conversation has an id of our choice, so that it is known whatever happens.
 * Nothing of the repository's own settings, hooks or servers is read; what it says to agents comes with the prompt.
 *
 *   starts ──▶ works ──▶ ended: its result counts
 *                ├── the context is full ──▶ works on in a new conversation, from what lies in the folder
 *                ├── nothing comes any more · the login is refused · the budget is spent ──▶ ended by us, with a code
 *                └── aborted from outside ──▶ TERM, then KILL; it can be resumed
 *
 * To read on: look.ts (can it be used), logins.ts (what pays), command.ts (how it is called).
 */
import { randomUUID } from 'node:crypto';
import { appendFile, mkdir, realpath, rm } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { fail, isFailure } from '@nexus/shared/errors';
import type { Mount } from '@nexus/shared/process';
import { noUsage } from '@nexus/shared/spend';
import { failed, runProgram } from '../run-program.ts';
import { defineRuntime, type RunRequest, type RunResult } from '../runtimes.ts';
import { argumentsOf, environmentOf, promptFor, scratchOf, sweepScratch, type Which } from './claude-code/command.ts';
import { conventionsIn } from './claude-code/conventions.ts';
import {
  bringConversation,
  countedIn,
  findConversation,
  placeOf,
  removeConversation,
} from './claude-code/conversation.ts';
import type { Login } from './claude-code/logins.ts';
import { type ClaudeSettings, lookAround, type Ready, usable } from './claude-code/look.ts';
import { modelFor } from './claude-code/models.ts';
import {
  added,
  budgetSpent,
  creditSpent,
  isOutOfCredit,
  loginRefused,
  resultOf,
  total,
  windowIn,
} from './claude-code/outcome.ts';
import { payerOf } from './claude-code/payer.ts';
import { openReader, type Seen } from './claude-code/reader.ts';

export const runtime = defineRuntime({
  name: 'claude-code',
  capabilities: { resume: true, cost: true, nudge: true },
  usable,
  payer: payerOf,
  run: (request) => start(request, null),
  resume: (session, request) => start(request, session),
  transcriptOf: async (session, { settings = {} }) => {
    const folder = await folderOf(settings);
    return folder === null ? null : findConversation(folder, session);
  },
  forget: async (session, { settings = {} }) => {
    const folder = await folderOf(settings);
    return folder !== null && (await removeConversation(folder, session));
  },
  nudge: async (folder, text) => {
    await mkdir(join(folder, '.nexus'), { recursive: true });
    await appendFile(join(folder, '.nexus', 'told.md'), `${text}\n`);
  },
});

/** Where conversations lie; null while there is no login, so nobody could have had one. */
const folderOf = async (settings: ClaudeSettings): Promise<string | null> => {
  const ready = await lookAround(settings);
  return 'problem' in ready ? null : ready.login.folder;
};

type Setting = {
  settings: ClaudeSettings;
  ready: Ready;
  model: string | null;
  turnsMax: number;
  /** Where the conversations of this clone lie. */
  place: string;
};

const start = async (request: RunRequest, session: string | null): Promise<RunResult> => {
  const settings = request.context.settings ?? {};
  const ready = await lookAround(settings);
  if ('problem' in ready) {
    return failed('NO_RUNTIME', fail('NO_RUNTIME', { looked: ready.problem, mend: ready.mend }).message);
  }
  const wish =
    request.model ?? (request.agent.model === 'inherit' ? null : request.agent.model) ?? settings.claudeModel;
  const model = modelFor(wish);
  if ('mend' in model) {
    const { code, message } = fail('MODEL_UNKNOWN', { model: wish ?? '', where: 'Claude Code', mend: model.mend });
    return failed(code, message);
  }
  const turnsMax = Math.min(request.maxTurns ?? Number.POSITIVE_INFINITY, settings.claudeTurns ?? 300);
  const scratch = scratchOf(request.mark);
  await sweepScratch(Date.now());
  const place = placeOf(ready.login.folder, await realpath(request.folder));
  await Promise.all([mkdir(join(scratch, 'config'), { recursive: true }), mkdir(place, { recursive: true })]);
  try {
    const prompt = `${request.prompt}${await conventionsIn(request.folder)}`;
    const seen = mountsOf(ready.login, place, join(scratch, 'config')).map(async (mount) => ({
      ...mount,
      to: await realpath(mount.to),
    }));
    const mounts = await Promise.all(seen);
    return await goOn({ ...request, prompt, alsoWrites: [scratch], mounts }, session, {
      settings,
      ready,
      model: model.model,
      turnsMax,
      place,
    });
  } finally {
    await rm(scratch, { recursive: true, force: true });
  }
};

/**
 * Of the config folder a run sees the conversations of its clone, and nothing that others did. All else that the CLI
 * keeps there is for one run, unless its login lies there, too.
 */
const mountsOf = ({ folder, isTheirs }: Login, place: string, empty: string): Mount[] => [
  ...(isTheirs ? [{ from: folder, to: folder }] : []),
  { from: empty, to: isTheirs ? dirname(place) : folder },
  { from: place, to: place },
];

/** Goes on with an earlier conversation where there is one, else begins a new one: never in silence. */
const goOn = async (request: RunRequest, session: string | null, setting: Setting): Promise<RunResult> => {
  if (session === null) return converse(request, fresh(), setting);
  const { transcript = null, fork = false } = request.conversation ?? {};
  if (await bringConversation(setting.place, session, transcript)) {
    const which = { id: fork ? randomUUID() : session, from: session, fork };
    const result = await converse(request, which, setting);
    if (!wasUnknown(result)) return result;
  }
  request.onNotice?.(`the conversation ${session} is not to be found here: a new one begins from the work so far`);
  return converse({ ...request, conversation: null }, fresh(), setting);
};

const fresh = (): Which => ({ id: randomUUID(), from: null, fork: false });

const wasUnknown = ({ ok, outputTail, toolCalls }: RunResult): boolean =>
  !ok && toolCalls === 0 && /No conversation found/.test(outputTail);

/** As many conversations can follow each other in one run: an agent that fills them at once gets nowhere. */
const rotationsMax = 4;

/** One conversation; when its context is full, the next. */
const converse = async (request: RunRequest, which: Which, setting: Setting, rotations = 0): Promise<RunResult> => {
  const result = await runOnce(request, which, setting);
  if (result.code !== 'CONTEXT_FULL' || rotations === rotationsMax) return result;
  const next = fresh();
  request.onNotice?.(
    `the context of the conversation ${which.id} is ${setting.settings.claudeRotate ?? 80} % full: ${next.id} goes on`,
  );
  const prompt = rotations === 0 ? `${request.prompt}\n\n${rotated}` : request.prompt;
  const rest = await converse(
    { ...request, prompt, conversation: null, budget: lessened(request.budget, result) },
    next,
    { ...setting, turnsMax: Math.max(1, setting.turnsMax - (result.turns ?? 0)) },
    rotations + 1,
  );
  return together(result, rest);
};

const rotated = `# Going on

You have worked at this before, in a conversation that had become too long. All that you changed lies in your folder.
Look at it first (\`git status\`, \`git diff\`), keep what is good, and go on from there.`;

/** What the conversation before has used is used; what it cost nobody told, since it was cut off. */
const lessened = (budget: RunRequest['budget'], { cost }: RunResult) =>
  budget
    ? { usd: budget.usd, tokens: budget.tokens === null ? null : Math.max(1, budget.tokens - (cost.tokens ?? 0)) }
    : null;

/**
 * Two conversations of one run: what they used is added up, all else is the later one's. What they cost is known only
 * where both told it: else what was heard of them counts, not what one of them told.
 */
const together = (one: RunResult, two: RunResult): RunResult => ({
  ...two,
  cost: {
    usd: one.cost.usd === null || two.cost.usd === null ? null : one.cost.usd + two.cost.usd,
    tokens: (one.cost.tokens ?? 0) + (two.cost.tokens ?? 0),
  },
  usdLeast: (one.cost.usd ?? one.usdLeast ?? 0) + (two.cost.usd ?? two.usdLeast ?? 0),
  usage: one.usage && two.usage ? added(one.usage, two.usage) : (two.usage ?? null),
  toolCalls: (one.toolCalls ?? 0) + (two.toolCalls ?? 0),
  turns: (one.turns ?? 0) + (two.turns ?? 0),
  leftBehind: one.leftBehind + two.leftBehind,
  outputTail: `${one.outputTail}${two.outputTail}`.slice(-16_000),
});

const runOnce = async (request: RunRequest, which: Which, setting: Setting): Promise<RunResult> => {
  const { settings, ready, model, turnsMax } = setting;
  const { login } = ready;
  const own = new AbortController();
  const idleMs = settings.claudeIdle ?? 660_000;
  const silent = () =>
    own.abort(fail('AGENT_STUCK', { why: `its CLI told nothing for ${Math.round(idleMs / 1000)} s` }));
  let idle = setTimeout(silent, idleMs);
  const onSeen = (seen: Seen): void => {
    clearTimeout(idle);
    idle = setTimeout(silent, idleMs);
    const reason = whyEnd(seen, request, setting);
    if (reason !== null) own.abort(reason);
  };
  const reader = openReader({ onText: request.onOutput, onEvent: request.onEvent ?? (() => undefined), onSeen });
  const prompt = promptFor(request.prompt);
  request.onPrompt?.(prompt);
  request.onSession?.(which.id);
  const from = which.from === null ? null : await findConversation(login.folder, which.from);
  const before = await bookedIn(request, from);
  const env = environmentOf(request, login, {
    claudeRetries: settings.claudeRetries ?? 3,
    claudeTimeout: settings.claudeTimeout ?? 600_000,
  });
  try {
    const ran = await runProgram(
      {
        ...request,
        env,
        signal: AbortSignal.any([request.signal, own.signal]),
        onOutput: reader.push,
      },
      [ready.program, ...argumentsOf(request, which, model, turnsMax)],
      prompt,
    );
    reader.end();
    const reason =
      own.signal.aborted && !request.signal.aborted && isFailure(own.signal.reason) ? own.signal.reason : null;
    const parkMs = settings.claudePark ?? 60_000;
    const asks = env.ANTHROPIC_BEDROCK_BASE_URL ?? env.ANTHROPIC_BASE_URL ?? null;
    const how = { request, login, model, turnsMax, parkMs, ...before, nowMs: Date.now(), asks };
    const result = resultOf({ ...ran, outputTail: reader.tail() }, reader.seen, reason, how);
    const sessionId = result.sessionId ?? which.id;
    if (sessionId !== which.id) request.onNotice?.(`the conversation ${which.id} went on as ${sessionId}, unasked`);
    return { ...result, sessionId, transcript: await findConversation(login.folder, sessionId) };
  } finally {
    clearTimeout(idle);
  }
};

/** Of what the CLI counts already, so much is booked: what it used in an answer that was cut off nobody has booked. */
const bookedIn = async ({ conversation }: RunRequest, transcript: string | null) => {
  const { usdBefore = 0, usageBefore } = conversation ?? {};
  const { usd, usage } = await countedIn(transcript);
  return { usdBefore: Math.min(usdBefore, usd), missed: usageBefore ? lacking(usage, usageBefore) : noUsage };
};

const lacking = (counted: Seen['usage'], booked: Seen['usage']): Seen['usage'] => ({
  input_tokens: Math.max(0, counted.input_tokens - booked.input_tokens),
  output_tokens: Math.max(0, counted.output_tokens - booked.output_tokens),
  cache_read_tokens: Math.max(0, counted.cache_read_tokens - booked.cache_read_tokens),
  cache_write_tokens: Math.max(0, counted.cache_write_tokens - booked.cache_write_tokens),
});

/** What ends a run before it ends itself. */
const whyEnd = (seen: Seen, request: RunRequest, { settings, ready }: Setting) => {
  if (seen.result !== null) return null;
  const { apiError } = seen;
  // The CLI would ask ten times more with a key that was refused.
  if (apiError?.status === 401 || apiError?.status === 403) {
    const { status, error, says } = apiError;
    return (isOutOfCredit(status, error, says) ? creditSpent : loginRefused)(ready.login, says);
  }
  const tokensMax = request.budget?.tokens;
  const used = total(seen.usage);
  if (tokensMax && used > tokensMax) return budgetSpent(request, 'tokens', used, tokensMax);
  const fullAt = (windowIn(seen) * (settings.claudeRotate ?? 80)) / 100;
  return seen.context > fullAt ? fail('CONTEXT_FULL', { percent: settings.claudeRotate ?? 80 }) : null;
};
