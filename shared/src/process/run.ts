/**
 * Runs one command from start to result.
 *
 *     running ─ it ends by itself ──────────────────────────→ sweeping → done
 *        └─ time, abort, too much of anything → ending its tree ─┘
 *
 * Sweeping ends what the command left running in the background, so that nothing holds its output open or works on
 * unseen. Why it was ended is said by the first reason only.
 */
import { randomUUID } from 'node:crypto';
import { once } from 'node:events';
import { stat } from 'node:fs/promises';
import { constants } from 'node:os';
import { fileURLToPath } from 'node:url';
import { fail } from '@nexus/shared/errors';
import { execa } from 'execa';
import { allowedEnv } from './environment.ts';
import { type Fence, fence } from './fence.ts';
import { findProgram } from './find-program.ts';
import { giveOrder, letGo, readAnswer } from './leashed.ts';
// biome-ignore lint/correctness/useImportExtensions: plain JavaScript with its types beside it
import { endTree, type Tree } from './marked.mjs';
import { type LimitName, type Limits, meter } from './meter.ts';
import { collectOutput } from './output.ts';
import type { Sandbox } from './sandbox.ts';

/** A string is run by `sh -c`; a list is a program with its arguments, without a shell. */
export type Command = string | readonly [string, ...string[]];
export type OutputStream = 'stdout' | 'stderr';

export type RunOptions = {
  command: Command;
  /** The working folder; it must exist. */
  folder: string;
  /** Added to (and winning over) `allowedEnv()`; nothing else of our own environment is inherited. */
  env?: Readonly<Record<string, string>> | undefined;
  /** What the command reads from its standard input; without it the input is closed. */
  input?: string | Uint8Array | undefined;
  /** TERM after so long, KILL after `graceMs` more. */
  timeoutMs: number;
  /** Bytes of output, both streams together; one more ends the command. What came before is kept. */
  outputBytesMax: number;
  /** Aborting ends the tree; the result says `aborted`. */
  signal?: AbortSignal | undefined;
  /** Called with each piece of text as it comes; never with half a character. */
  onOutput?: ((chunk: string, stream: OutputStream) => void) | undefined;
  /** `NEXUS_MARK` of the whole tree: what `endMarked()` finds it by. Several runs may share one. */
  mark?: string | undefined;
  /** Start it through the leash, which ends every process of the mark if we die. Needs `mark`. */
  leashed?: boolean | undefined;
  /**
   * Nobody else works in the folder: what is found there and says nothing of us is of the tree, too. `mark`: nobody but
   * runs of this mark, so that it is ended with all of them, by the leash.
   */
  ownFolder?: boolean | 'mark' | undefined;
  /** What its tree may use; more ends it. */
  limits?: Limits | undefined;
  /** Namespaces of its own: ask `probeSandbox()` first whether they can be had. */
  sandbox?: Sandbox | undefined;
  /** Between TERM and KILL. Default 2000. */
  graceMs?: number | undefined;
};

/** Flags say why it ended; `exitCode` and `signal` are what the system reported, one of them null. */
export type ProcessResult = {
  exitCode: number | null;
  signal: string | null;
  timedOut: boolean;
  aborted: boolean;
  outputLimited: boolean;
  /** The limit that ended it. */
  limit?: LimitName | null;
  stdout: string;
  stderr: string;
  /** Both streams in the order in which they came. */
  output: string;
  /** Processes that the command had left running when it ended by itself, and that were ended then. */
  leftBehind: number;
  durationMs: number;
};

type Reason = 'timedOut' | 'aborted' | 'outputLimited' | LimitName;
type Exit = { exitCode: number | null; signal: string | null };

const leashFile = fileURLToPath(new URL('./leash.mjs', import.meta.url));
const timeoutMsMax = 2 ** 31 - 1;
/** How long a command that has ended may keep its output open before we look for who holds it. */
const lingerMs = 100;
/** How long after the end of its tree the end of a command may be on its way to us. */
const giveUpMs = 3000;

/**
 * Runs a command and resolves when it and everything it left running has ended. A failed command is a result. A shell
 * string whose program is missing is exit code 127. Throws `COMMAND_MISSING` if it cannot be started.
 */
export const run = async (options: RunOptions): Promise<ProcessResult> => {
  const began = performance.now();
  const output = collectOutput(options.outputBytesMax, options.onOutput);
  let reason: Reason | null = options.signal?.aborted ? 'aborted' : null;
  let leftBehind = 0;
  const result = (exit: Exit): ProcessResult => ({
    ...exit,
    timedOut: reason === 'timedOut',
    aborted: reason === 'aborted',
    outputLimited: reason === 'outputLimited',
    limit: limitOf(reason, exit, options),
    ...output.texts(),
    leftBehind,
    durationMs: Math.round(performance.now() - began),
  });
  if (reason !== null) return result({ exitCode: null, signal: null });

  if (options.sandbox || options.limits) await demandProgram(options);
  // Meanwhile nobody listened: one that is aborted now would never hear of it.
  if (options.signal?.aborted) reason = 'aborted';
  if (reason !== null) return result({ exitCode: null, signal: null });
  const started = start(options);
  const givenUp = Promise.withResolvers<Exit>();
  let ending: Promise<unknown> | null = null;
  let ended = false;
  const end = (why: Reason): void => {
    if (ended || reason !== null) return;
    reason = why;
    // Of processes without end nobody waits for the good manners.
    ending = endTree(started.tree, why === 'processes' ? 0 : (options.graceMs ?? 2000));
    void ending.then(() => giveUpOn(started, givenUp));
  };
  output.follow(started.child.stdout, 'stdout', end);
  output.follow(started.child.stderr, 'stderr', end);
  const onAbort = () => end('aborted');
  options.signal?.addEventListener('abort', onAbort, { once: true });
  const timer = setTimeout(() => end('timedOut'), Math.min(options.timeoutMs, timeoutMsMax));
  const unwatch = watch(started, options, end);
  try {
    const exit = await Promise.race([started.exit, givenUp.promise]);
    ended = true;
    await ending;
    const swept = await sweep(started, options);
    if (reason === null) leftBehind = swept;
    output.rethrow();
    return result(exit);
  } finally {
    ended = true;
    unwatch();
    clearTimeout(timer);
    options.signal?.removeEventListener('abort', onAbort);
    if (options.leashed) letGo(started.child.stdio[3]);
    await started.fence?.clear();
  }
};

type Started = {
  child: ReturnType<typeof spawn>;
  tree: Tree;
  fence: Fence | null;
  /** How the command ended; rejects with `COMMAND_MISSING`. */
  exit: Promise<Exit>;
};

/** Behind a shell or a sandbox a program that is missing would only be an exit code. */
const demandProgram = async (options: RunOptions): Promise<void> => {
  if (typeof options.command === 'string') return;
  const [file] = options.command;
  const { folder, env = {} } = options;
  if ((await findProgram(file, { folder, env })) === null) throw await notStarted(options, new Error(`no ${file}`));
};

const watch = ({ tree }: Started, { limits }: RunOptions, end: (why: Reason) => void): (() => void) =>
  limits && tree.root !== undefined
    ? meter({ root: tree.root, spared: tree.spareRoot === true, entry: tree.entry, limits, over: end })
    : () => {};

/** A program that writes more to one file than it may is killed by SIGXFSZ; a shell tells that as 128 + 25. */
const limitOf = (reason: Reason | null, exit: Exit, { limits }: RunOptions): LimitName | null => {
  if (reason === 'cpu' || reason === 'memory' || reason === 'processes') return reason;
  const tooLarge = exit.signal === 'SIGXFSZ' || exit.exitCode === 128 + constants.signals.SIGXFSZ;
  return reason === null && limits?.fileBytes && tooLarge ? 'file' : null;
};

/** Starts the command, by its leash if so asked, and knows how to find its tree. */
const start = (options: RunOptions): Started => {
  const command: [string, ...string[]] =
    typeof options.command === 'string' ? ['sh', '-c', options.command] : [...options.command];
  const fenced = fence(command, options);
  const [file, ...args] = fenced?.command ?? command;
  const runId = randomUUID();
  const env = allowedEnv({ ...options.env, ...(options.mark ? { NEXUS_MARK: options.mark } : {}), NEXUS_RUN: runId });
  const tree: Tree = { entry: `NEXUS_RUN=${runId}`, folder: options.ownFolder === true ? options.folder : undefined };
  if (!options.leashed) {
    const child = spawn(file, args, options, env);
    return { child, tree: { ...tree, root: child.pid }, fence: fenced, exit: exitOf(child, options) };
  }
  if (!options.mark) throw fail('BUG', { message: 'a leashed command needs a mark' });
  const child = spawn(
    process.execPath,
    ['--max-semi-space-size=1', leashFile, options.mark],
    options,
    allowedEnv(),
    true,
  );
  const ownFolder = Boolean(options.ownFolder);
  giveOrder(child.stdio[3], { file, args, folder: options.folder, ownFolder, env, mark: options.mark });
  const whole = { ...tree, root: child.pid, spareRoot: true };
  return { child, tree: whole, fence: fenced, exit: leashedExitOf(child, options) };
};

/**
 * Detached means a session of its own; execa's own time limit, abort and buffers know only one process, so ours
 * are used.
 */
const spawn = (file: string, args: string[], options: RunOptions, env: Record<string, string>, lifeline = false) =>
  execa(file, args, {
    cwd: options.folder,
    env,
    extendEnv: false,
    detached: true,
    cleanup: false,
    reject: false,
    buffer: false,
    stripFinalNewline: false,
    encoding: 'buffer',
    stdio: [options.input === undefined ? 'ignore' : 'pipe', 'pipe', 'pipe', lifeline ? 'pipe' : 'ignore'],
    ...(options.input === undefined ? {} : { input: options.input }),
  });

const exitOf = async (child: Started['child'], options: RunOptions): Promise<Exit> => {
  if (child.pid === undefined) throw await notStarted(options, (await child).cause);
  const [exitCode, signal] = await once(child.nodeChildProcess, 'exit');
  return { exitCode, signal };
};

/**
 * The leash answers how the command ended. One that was told to end, or was killed, says nothing: then all was
 * killed.
 */
const leashedExitOf = async (child: Started['child'], options: RunOptions): Promise<Exit> => {
  const ended = exitOf(child, options);
  // Where there is an answer nobody asks how the leash itself ends.
  ended.catch(() => undefined);
  const answer = await readAnswer(child.stdio[3]);
  if (answer === null) {
    const exit = await ended;
    if (exit.exitCode) throw fail('BUG', { message: `the leash ended with ${exit.exitCode}` });
    return { exitCode: null, signal: exit.signal ?? 'SIGKILL' };
  }
  if ('failed' in answer)
    throw await notStarted(options, Object.assign(new Error(answer.says), { code: answer.failed }));
  return answer;
};

/** Its tree was killed, but its end never came: it is stuck in the kernel, or its leash is. Nobody waits for that. */
const giveUpOn = async ({ child }: Started, givenUp: PromiseWithResolvers<Exit>): Promise<void> => {
  await after(giveUpMs);
  child.nodeChildProcess.kill('SIGKILL');
  await after(lingerMs);
  givenUp.resolve({ exitCode: null, signal: 'SIGKILL' });
};

/** A missing folder and a missing program are the same error to the system; not to a person. */
const notStarted = async (options: RunOptions, cause: unknown): Promise<Error> => {
  const command = typeof options.command === 'string' ? 'sh' : options.command[0];
  const folder = await stat(options.folder).catch(() => null);
  if (folder?.isDirectory()) return fail('COMMAND_MISSING', { command }, { cause });
  return fail('UNEXPECTED', { message: `"${command}" has no folder ${options.folder} to work in` }, { cause });
};

/**
 * Ends what the command left behind, and counts it. Without a mark (git and its like, which leave nothing) only if
 * somebody still holds the output open; what even then holds it, is not of this tree, and we let go of it.
 */
const sweep = async ({ child, tree }: Started, options: RunOptions): Promise<number> => {
  const closed = child.then(
    () => true,
    () => true,
  );
  if (options.mark === undefined && (await Promise.race([closed, after(lingerMs)]))) return 0;
  const { ended } = await endTree(tree, options.graceMs ?? 2000);
  if (options.leashed) letGo(child.stdio[3]);
  if (await Promise.race([closed, after(lingerMs)])) return ended;
  for (const stream of child.stdio) stream?.destroy();
  await Promise.race([closed, after(lingerMs)]);
  return ended;
};

const after = (ms: number): Promise<false> => new Promise((resolve) => setTimeout(() => resolve(false), ms).unref());
