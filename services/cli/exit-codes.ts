/** How the command line ends: one table of exit codes, and the error that carries one. */

import { ClientProblem } from '@nexus/shared/client';
import { AppError, type ErrorCode } from '@nexus/shared/errors';
import { inContainer } from './command-word.ts';

/** Every exit code of `nexus`, as `--help` prints it. */
export const exitCodes = {
  ok: { code: 0, says: 'done; for `run`: the task was completed' },
  failed: {
    code: 1,
    says: 'the task failed or was cancelled; `stop` was not confirmed or outlived; `doctor` found a failure',
  },
  usage: { code: 2, says: 'a mistake in the command line' },
  refused: {
    code: 3,
    says: 'the fleet refused it, also while it is full or drains; of many: one at least; the reason is printed',
  },
  waiting: {
    code: 4,
    says: 'the task waits for a person; `run` ends so where no terminal follows it, and says what to type',
  },
  unavailable: { code: 69, says: 'no gateway, Redis or worker answers, or Redis takes no writes now' },
  unexpected: { code: 70, says: 'a mistake of ours' },
  config: { code: 78, says: 'a setting is wrong' },
  interrupted: { code: 130, says: 'Ctrl-C' },
  terminated: { code: 143, says: 'SIGTERM' },
} as const;

export type Exit = keyof typeof exitCodes;

/** An end of the command that is no success. `advice` is the line that says what would be right. */
export class CommandFailure extends Error {
  override readonly name = 'CommandFailure';
  readonly exit: Exit;
  readonly code: string;
  readonly advice: string[];

  constructor(exit: Exit, message: string, more: { code?: string; advice?: string[]; cause?: unknown } = {}) {
    super(message, more.cause === undefined ? undefined : { cause: more.cause });
    this.exit = exit;
    this.code = more.code ?? exit.toUpperCase();
    this.advice = more.advice ?? [];
  }
}

/** Any thrown thing as a failure of the command, with the exit code that belongs to it. */
export const toFailure = (thrown: unknown): CommandFailure => {
  if (thrown instanceof CommandFailure) return thrown;
  if (thrown instanceof ClientProblem) return ofProblem(thrown);
  if (thrown instanceof AppError) {
    return new CommandFailure(exitOf(thrown), thrown.message, {
      code: thrown.code,
      advice: [thrown.entry.operator, ...(adviceHere[thrown.code] ?? [])],
      cause: thrown,
    });
  }
  const message = thrown instanceof Error ? thrown.message : String(thrown);
  return new CommandFailure('unexpected', message, { code: 'UNEXPECTED', cause: thrown });
};

const exitOf = (error: AppError): Exit => {
  if (wrongSettings.includes(error.code)) return 'config';
  if (unavailable.includes(error.code)) return 'unavailable';
  return error.entry.http >= 400 && error.entry.http < 500 ? 'refused' : 'unexpected';
};

/** What a person at this terminal can do besides what an operator would. */
const adviceHere: Partial<Record<ErrorCode, string[]>> = {
  REDIS_UNREACHABLE: [
    inContainer
      ? 'Does its container run? `docker compose ps` tells.'
      : 'No fleet here yet? `nexus up` starts one, with a Redis of its own where REDIS_URL names none.',
  ],
};

const wrongSettings: ErrorCode[] = ['CONFIG_INVALID', 'HOME_BELOW_MODULES'];
const unavailable: ErrorCode[] = [
  ...(['REDIS_UNREACHABLE', 'REDIS_UNFIT', 'REDIS_LOADING'] as const),
  ...(['REDIS_READONLY', 'REDIS_DISK', 'REDIS_REPLICAS', 'BUS_MEMORY', 'BUS_UNCONFIRMED'] as const),
];

/** What a gateway that lives says no to, for now: nothing is away. */
const refusedForNow = ['BUS_FULL', 'BUS_MEMORY', 'DRAINING'];

const ofProblem = (problem: ClientProblem): CommandFailure => {
  const gone = problem.status === 0 || (problem.status >= 500 && !refusedForNow.includes(problem.code));
  const fields = (problem.problems ?? []).map(({ field, says }) => `${field}: ${says}`);
  return new CommandFailure(gone ? 'unavailable' : 'refused', problem.detail, {
    code: problem.code,
    advice: [...(fields.length > 1 ? fields : []), ...(advice[problem.code] ?? [])],
    cause: problem,
  });
};

const operatorOf = (code: ErrorCode): string[] => [new AppError(code).entry.operator];

/** What a person at this terminal can do, where the gateway itself cannot know it or does not say it. */
const advice: Record<string, string[]> = {
  TASK_UNKNOWN: operatorOf('TASK_UNKNOWN'),
  LETTER_UNKNOWN: operatorOf('LETTER_UNKNOWN'),
  BUS_KEY_TYPE: operatorOf('BUS_KEY_TYPE'),
  GATEWAY_UNREACHABLE: ['Start a fleet with `nexus up`, or say where one is with NEXUS_URL.'],
  GATEWAY_SILENT: ['It may be overloaded, or wait for its Redis: `nexus doctor` looks.'],
  REDIS_UNREACHABLE: ['The fleet lives and goes on by itself once its Redis answers: `nexus doctor` looks at it.'],
  UNAUTHENTICATED: [
    'Set NEXUS_TOKEN, or REDIS_URL to the Redis of that fleet: `nexus token` reads it from there.',
    '`nexus doctor` tells whether that Redis answers.',
  ],
};
