/**
 * One program as an agent, from start to result: what the runtimes have in common.
 *
 * It runs under the leash, in a process group of its own, with the environment of the request alone, and its
 * whole tree is gone when this returns. What became of it is a code; nothing here throws for what an agent does.
 */
import { constants } from 'node:os';
import { type ErrorCode, fail, isFailure } from '@nexus/shared/errors';
import { type Command, type LimitName, type Limits, type ProcessResult, run } from '@nexus/shared/process';
import { codeOfAbort, type RunRequest, type RunResult } from './runtimes.ts';
import { namedBelowTmp } from './safety/named-files.ts';

const tailMax = 16_000;
/** Between TERM and KILL: a stop is over within two seconds, also for an agent that ignores TERM. */
const graceMs = 1000;

/** Runs a command as the agent of a request; `input` is what it reads. */
export const runProgram = async (request: RunRequest, command: Command, input: string): Promise<RunResult> => {
  if (request.signal.aborted) return failed(codeOfAbort(request.signal), 'The agent was not started.');
  try {
    const { sandbox, limits } = request.guard?.fence ?? {};
    const writable = [...(sandbox?.writable ?? []), ...(request.alsoWrites ?? [])];
    const named = sandbox && typeof command === 'string' ? namedBelowTmp(command, sandbox.hidden) : [];
    const readable = [...(sandbox?.readable ?? []), ...named];
    const result = await run({
      command,
      folder: request.folder,
      env: request.env,
      input,
      timeoutMs: request.timeBoxMs,
      outputBytesMax: request.outputBytesMax,
      signal: request.signal,
      onOutput: request.onOutput,
      mark: request.mark,
      leashed: true,
      ownFolder: true,
      limits,
      sandbox: sandbox && { ...sandbox, writable, readable, mounts: request.mounts },
      graceMs,
    });
    return resultOf(result, request);
  } catch (thrown) {
    if (isFailure(thrown, 'COMMAND_MISSING')) return failed('COMMAND_MISSING', thrown.message);
    throw thrown;
  }
};

/** A run that never began, or came to nothing, as a result. */
export const failed = (code: ErrorCode, says: string): RunResult => ({
  ok: false,
  code,
  says,
  exitCode: null,
  signal: null,
  outputTail: '',
  leftBehind: 0,
  sessionId: null,
  cost: { usd: null, tokens: null },
});

export const missing = (command: string): RunResult =>
  failed('COMMAND_MISSING', fail('COMMAND_MISSING', { command: command.slice(0, 200) }).message);

const resultOf = (result: ProcessResult, request: RunRequest): RunResult => {
  const { code, says } = endOf(result, request);
  return {
    ok: code === null,
    code,
    says,
    exitCode: result.exitCode,
    signal: result.signal,
    outputTail: result.output.slice(-tailMax),
    leftBehind: result.leftBehind,
    sessionId: null,
    cost: { usd: null, tokens: null },
  };
};

/** Which of the ways to end it was. The order matters: a tree that we killed also shows a signal. */
const endOf = (result: ProcessResult, request: RunRequest): { code: ErrorCode | null; says: string } => {
  const limits = request.guard?.fence.limits ?? {};
  if (result.limit) return told(overLimit(result.limit, limits));
  if (result.aborted) return endOfAbort(request.signal);
  if (result.timedOut) return told(fail('AGENT_TIMED_OUT', { minutes: round(request.timeBoxMs / 60_000) }));
  if (result.outputLimited) return told(fail('AGENT_OUTPUT_LIMIT', { bytesMax: request.outputBytesMax }));
  const signal = result.signal ?? signalOf(result.exitCode);
  if (signal !== null) return told(fail('AGENT_CRASHED', { signal }));
  if (result.exitCode !== 0 && limits.fileBytes && metFileLimit(result)) return told(overLimit('file', limits));
  const missing = missingBy(result.exitCode);
  if (missing !== null) return told(fail('AGENT_PROGRAM_MISSING', { exit: missing }));
  if (result.exitCode !== 0) return told(fail('AGENT_FAILED', { exit: result.exitCode ?? 'none' }));
  return { code: null, says: '' };
};

/** What a shell means by these two (https://pubs.opengroup.org/onlinepubs/9799919799, shell language 2.8.2). */
const missingBy = (exitCode: number | null): string | null => {
  const seen = 'an agent sees only what its sandbox shows it';
  if (exitCode === 127) return `127: a program that it calls is not there; ${seen}`;
  return exitCode === 126 ? `126: a file that it calls may not be run, or is no program; ${seen}` : null;
};

/** Each limit has a code, which names the setting that raises it. */
const overLimit = (limit: LimitName, { cpuMs = 0, memoryBytes = 0, processes = 0, fileBytes = 0 }: Limits) => {
  if (limit === 'cpu') return fail('AGENT_CPU_LIMIT', { max: `${round(cpuMs / 60_000)} minutes` });
  if (limit === 'memory') return fail('AGENT_MEMORY_LIMIT', { max: megabytes(memoryBytes) });
  if (limit === 'processes') return fail('AGENT_PROCESS_LIMIT', { max: processes });
  return fail('AGENT_FILE_LIMIT', { max: megabytes(fileBytes) });
};

/** Programs that do not die of it are told so by the system, and hand its words on as the last that they say. */
const metFileLimit = ({ output }: ProcessResult): boolean =>
  /\bEFBIG\b|file too large|file size limit exceeded/i.test(output.slice(-4000));

const megabytes = (bytes: number): string => `${Math.round(bytes / 1e6)} MB`;

/** A limit of its own tells which; anything else ended it from outside. */
const endOfAbort = (signal: AbortSignal): { code: ErrorCode; says: string } =>
  isFailure(signal.reason, 'AGENT_TIMED_OUT', 'AGENT_STUCK')
    ? told(signal.reason)
    : { code: codeOfAbort(signal), says: 'The agent was ended before it was done.' };

const told = (error: { code: ErrorCode; message: string }) => ({ code: error.code, says: error.message });
const round = (minutes: number): number => Math.round(minutes * 100) / 100;

/** A shell tells that its last command was killed as 128 + signal; that is a crash of the agent too. */
const signalOf = (exitCode: number | null): string | null =>
  exitCode !== null && exitCode > 128
    ? (Object.entries(constants.signals).find(([, number]) => number === exitCode - 128)?.[0] ?? null)
    : null;
