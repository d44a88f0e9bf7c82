/** Runs an agent by a preset: called as it wants to be, its events told as ours, its end read from them. */
import { existsSync, realpathSync } from 'node:fs';
import { mkdir, readdir, realpath, rm, stat } from 'node:fs/promises';
import { homedir } from 'node:os';
import { join, matchesGlob, relative, sep } from 'node:path';
import type { AgentDefinition } from '@nexus/shared/catalog';
import { fail } from '@nexus/shared/errors';
import type { Mount, Sandbox } from '@nexus/shared/process';
import { runProgram } from '../run-program.ts';
import type { Payer, RunRequest, RunResult } from '../runtimes.ts';
import { limitWords, type Preset } from './presets.ts';
import { openReader, type Read } from './reader.ts';

const tailMax = 16_000;

/** Goes on with the session where there is one; where the program has it no more, it begins anew and says so. */
export const runPreset = async (preset: Preset, request: RunRequest): Promise<RunResult> => {
  const { session } = request;
  if (session === null) return runOnce(preset, request, null);
  const result = await runOnce(preset, request, session);
  if (result.ok || result.sessionId !== null || result.code !== 'AGENT_FAILED' || request.signal.aborted) return result;
  request.onNotice?.(`begins a new conversation: ${preset.program} did not go on with ${session}`);
  return runOnce(preset, request, null);
};

/** Who is limited for its calls. Which of its logins it uses it does not tell: all its processes count together. */
export const payerOf = ({ program, provider, rules }: Preset, { model }: Pick<AgentDefinition, 'model'>): Payer => {
  const named = model === 'inherit' ? null : model;
  const [route = '', ...rest] = (named ?? '').split('/');
  const usd = rules.some((rule) => rule.means === 'usage' && rule.take.usd !== undefined);
  const tells = usd ? 'usd' : rules.some(({ means }) => means === 'model') ? 'model' : 'use';
  return { provider: rest.length > 0 ? route : provider, account: program, model: named, notional: false, tells };
};

const runOnce = async (preset: Preset, request: RunRequest, session: string | null): Promise<RunResult> => {
  let tail = '';
  const onText = (text: string): void => {
    tail = (tail + text).slice(-tailMax);
    request.onOutput(text);
  };
  const reader = openReader(preset, onText, (event) => request.onEvent?.(event));
  let opened: string | null = null;
  const onOutput = (chunk: string, stream: 'stdout' | 'stderr' = 'stdout'): void => {
    if (stream === 'stderr') onText(chunk);
    else reader.write(chunk);
    if (reader.read.session === null || reader.read.session === opened) return;
    opened = reader.read.session;
    request.onSession?.(opened);
  };
  const { sandbox } = request.guard?.fence ?? {};
  const mounts = sandbox && (await mountsOf(preset, request, sandbox));
  const command: [string, ...string[]] = [preset.program, ...argumentsOf(preset, request, session)];
  const ran = await runProgram({ ...request, onOutput, mounts }, command, request.prompt);
  reader.end();
  return resultOf(preset, request, ran, reader.read, tail);
};

/** Where it keeps its login and its conversations, as far as there is something. */
export const writesOf = ({ writes }: Preset): string[] =>
  writes.map((folder) => join(homedir(), folder)).filter(existsSync);

/**
 * Of the folders in which it keeps them a run sees the conversations of its own subtask, and nothing that others did:
 * they are kept in the home of the fleet. All else there is the person's, a login and what its program has installed.
 */
const mountsOf = async (
  preset: Preset,
  { ids, context, env, onNotice }: RunRequest,
  sandbox: Sandbox,
): Promise<Mount[]> => {
  const person = env.HOME ?? homedir();
  const home = context.settings?.home ?? join(homedir(), '.nexus');
  const mounts: Mount[] = [];
  for (const folder of preset.writes) {
    if (!existsSync(join(person, folder))) continue;
    const theirs = await realpath(join(person, folder));
    const own = join(conversationsOf(home), ids.taskId, ids.subtaskId, preset.program, folder);
    await mkdir(own, { recursive: true });
    mounts.push({ from: own, to: theirs });
    for (const name of await readdir(theirs)) {
      const to = join(theirs, name);
      if (isApart(preset, name) || !existsSync(to)) continue;
      // What a link leads to is seen where the link lies, unless nobody is to see it.
      const from = await realpath(to);
      if (from === to || isShown(preset, theirs, from, sandbox)) mounts.push({ from, to });
      else onNotice?.(`does without ${to}: it leads to ${from}, which the sandbox does not show`);
    }
  }
  return mounts;
};

const isApart = ({ apart }: Preset, name: string): boolean => apart.some((pattern) => matchesGlob(name, pattern));

/** Whether what a link in `folder` leads to is in no hidden place, and holds none. */
const isShown = (preset: Preset, folder: string, target: string, sandbox: Sandbox): boolean => {
  if (isIn(folder, target)) return target !== folder && !isApart(preset, relative(folder, target).split(sep)[0] ?? '');
  const real = (paths: readonly string[]) => paths.filter(existsSync).map((path) => realpathSync(path));
  if (real([...sandbox.writable, ...(sandbox.readable ?? [])]).some((path) => isIn(path, target))) return true;
  const hidden = real([folder, ...sandbox.hidden, '/run', '/tmp', '/var/tmp']);
  return !hidden.some((path) => isIn(path, target) || isIn(target, path));
};

const isIn = (folder: string, path: string): boolean => `${path}/`.startsWith(folder === '/' ? '/' : `${folder}/`);

const conversationsOf = (home: string): string => join(home, 'conversations');

/** Removes the conversations of tasks that are gone, some time after their last attempt; returns how many tasks. */
export const sweepConversations = async (options: {
  home: string;
  keepMs: number;
  now: number;
  isGone(taskId: string): Promise<boolean>;
}): Promise<number> => {
  const under = conversationsOf(options.home);
  let removed = 0;
  for (const task of await readdir(under).catch(() => [])) {
    // Another worker of this home may sweep at the same time, and take one away under our hands.
    const found = await stat(join(under, task)).catch(() => null);
    if (found === null || options.now - found.mtimeMs < options.keepMs || !(await options.isGone(task))) continue;
    const done = await rm(join(under, task), { recursive: true, force: true }).then(
      () => true,
      () => false,
    );
    if (done) removed += 1;
  }
  return removed;
};

const argumentsOf = (preset: Preset, { model }: RunRequest, session: string | null): string[] => {
  const words = session === null ? preset.run : preset.resume;
  // Before the words that follow its last option, such as the `-` that stands for standard input.
  const last = words.at(-1) === '-' ? -1 : words.length;
  const named = model ? preset.model.map((word) => word.replace('{model}', model)) : [];
  return [...words.slice(0, last), ...named, ...words.slice(last)].map((word) =>
    word.replace('{session}', session ?? ''),
  );
};

/** An error that it told outweighs exit code 0: not all of these programs end with another. */
const resultOf = (preset: Preset, request: RunRequest, ran: RunResult, read: Read, outputTail: string): RunResult => {
  const { usage, usd } = read;
  const tokens = usage === null ? null : Object.values(usage).reduce((total, count) => total + count, 0);
  const why = [preset.exits[ran.exitCode ?? 0], read.errors.at(-1)].filter((part) => part).join(': ');
  const told = ran.ok && read.errors.length > 0 && read.turns === 0;
  const isLimited = (told || (!ran.ok && ran.code === 'AGENT_FAILED')) && limitWords.test(read.errors.at(-1) ?? '');
  return {
    ...ran,
    ...(told ? { ok: false, code: 'AGENT_FAILED' as const, says: why } : {}),
    ...(!ran.ok && ran.code === 'AGENT_FAILED' && why !== '' ? { says: `${ran.says} ${why}` } : {}),
    ...(isLimited ? limited(preset, why, request) : {}),
    outputTail,
    sessionId: read.session,
    cost: { usd, tokens },
    usage,
    model: read.model,
    toolCalls: read.toolCalls,
    turns: read.turns,
  };
};

/** It is put aside, uncounted, like any attempt whose provider takes no more. */
const limited = ({ program }: Preset, message: string, { context }: RunRequest) => {
  const until = Date.now() + (context.settings?.claudePark ?? 60_000);
  const { code, message: says } = fail('MODEL_LIMITED', { where: `of ${program}`, message });
  return { ok: false, code, says, parked: { until, code, says, account: program } };
};
