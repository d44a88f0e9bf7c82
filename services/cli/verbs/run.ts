/** `nexus run`: submits a request and follows it to its end. */
import { existsSync, readFileSync } from 'node:fs';
import { resolve } from 'node:path';
import { text } from 'node:stream/consumers';
import type { TaskDetail } from '@nexus/shared/client';
import { is } from '@nexus/shared/config';
import type { CheckRequest, TaskRequest } from '@nexus/shared/messages/domain';
import { type Command, InvalidArgumentError, Option } from 'commander';
import { asTyped, fullCommand, nexus } from '../command-word.ts';
import { builtLines, endLines } from '../end-state.ts';
import { CommandFailure, type Exit } from '../exit-codes.ts';
import { failureLog } from '../failure-log.ts';
import { followTask, hasEnded, waitsForPersonOnly } from '../follow.ts';
import type { Output } from '../output.ts';
import type { Act } from '../program.ts';
import { openProgress } from '../show-progress.ts';
import type { Tools } from '../tools.ts';
import { waitingLines } from '../waiting-lines.ts';
import { amount, type BudgetOptions, budgetOf } from './cost.ts';

export type RunOptions = BudgetOptions & {
  repo?: string;
  base?: string;
  agentCommand?: string;
  runtime?: string;
  workflow?: string;
  roles?: string[];
  mode?: 'parallel' | 'sequential';
  analyst?: boolean;
  check?: string[];
  checkTimeout?: number;
  setup?: string[];
  priority?: string;
  deadline?: string;
  scenario?: string;
  detach?: boolean;
  wait?: boolean;
};

export const addRun = (program: Command, act: Act): void => {
  program
    .command('run')
    .description('give the fleet a request, and follow it to its end')
    .argument('<request>', 'what you want done, in your own words; - reads it from standard input')
    .option('--repo <path|url>', 'the repository to work on; left out, a new one is made')
    .option('--base <ref>', 'branch, tag or commit to start from')
    .addOption(
      new Option(
        '--agent-command <cmd>',
        'the agent: reads its prompt on standard input, works in the current folder',
      ).conflicts(['runtime', 'scenario']),
    )
    .option('--runtime <name>', 'how agents are run; `nexus doctor` tells which ones are usable')
    .addOption(new Option('--workflow <name>', 'which workflow; left out, the request decides').conflicts('roles'))
    .option('--roles <a,b>', 'these roles, one after the other', list)
    .addOption(new Option('--mode <mode>', 'side by side, or one at a time').choices(['parallel', 'sequential']))
    .option('--analyst <on|off>', 'begin with an analyst, or never', onOff)
    .option('--check <cmd>', 'a command that the result has to pass (may be repeated)', collect)
    .option('--check-timeout <time>', 'how long each of these checks may take: 90s, 10m; at most 2h', timeout)
    .option('--setup <cmd>', 'a command that makes a fresh clone runnable (may be repeated)', collect)
    .option('--priority <priority>', 'critical, high, normal or low')
    .option('--usd <amount>', 'the most that the task may spend, in USD', amount)
    .option('--tokens <n>', 'the most that it may use, in tokens', amount)
    .option('--deadline <time>', 'when it must be done, ISO 8601 with a time zone')
    .option('--scenario <file>', 'rehearsals only: what scripted agents play')
    .addOption(new Option('--detach', 'print the id of the task and leave').conflicts('wait'))
    .option('--wait', 'go on following a task that waits for a person, also where there is no terminal')
    .addHelpText('after', runExamples)
    .action(act(run));
};

const runExamples = `
Ctrl-C stops following, not the task: \`nexus cancel ID\` does that. Without a terminal, and with --json, it ends
with exit code 4 once the task does nothing but wait for a person.

Examples:
  nexus run "Create a simple hello world function" --agent-command ./my-agent
  nexus run "Fix the parser for empty lines" --repo . --workflow bug-fix --check "npm test" --check-timeout 5m
  nexus run - --repo git@example.com:team/shop.git --detach < request.md`;

const run = async (tools: Tools, words: string, options: RunOptions): Promise<Exit | undefined> => {
  const { output, signal } = tools;
  const request = requestOf(words === '-' ? await text(process.stdin) : words, options);
  const client = await tools.client();
  const accepted = await client.submit(request, { signal });
  const warnings = accepted.warnings.map((line) => `warning: ${asTyped(line)}`);
  if (options.detach) {
    output.note(...warnings);
    output.say(accepted.task_id);
    output.document(accepted);
    return 'ok';
  }
  output.note(...warnings, `task ${accepted.task_id}`);
  const progress = openProgress(progressOptions(tools));
  const leaving = () => {
    progress.close();
    output.note(`The task goes on: ${nexus} task ${accepted.task_id}, or ${nexus} cancel ${accepted.task_id}`);
  };
  signal.addEventListener('abort', leaving, { once: true });
  try {
    const task = await followTask({
      client,
      taskId: accepted.task_id,
      signal,
      onView: progress.show,
      onNotice: progress.say,
      onTrouble: (problem) => progress.say(problem ?? 'The gateway answers again.'),
      leaves: (seen) => !(options.wait || isWatched(output)) && waitsForPersonOnly(seen),
    });
    progress.close();
    if (!hasEnded(task)) return leaveWaiting(output, task);
    output.say(...builtLines(task, output.stdout.columns || 160), '', ...endLines(task, output.paint));
    output.say(...task.warnings.map((warning) => `  warning  ${warning}`));
    output.say(...(await failureLog(client, task)));
    output.document(task);
    return task.status === 'completed' ? 'ok' : 'failed';
  } finally {
    signal.removeEventListener('abort', leaving);
    if (!signal.aborted) progress.close();
  }
};

/** Somebody sits at a terminal who can answer what the task asks. */
const isWatched = ({ json, stdout }: Output): boolean => !json && stdout.isTTY === true;

const leaveWaiting = (output: Output, task: TaskDetail): Exit => {
  const lines = waitingLines(task);
  output.say(...lines);
  if (output.json) output.note(...lines);
  output.document(task);
  return 'waiting';
};

/** Progress goes to standard error where standard output is for the document. */
const progressOptions = ({ config, output }: Tools) => {
  const sink = output.json ? output.stderr : output.stdout;
  const redraw = sink.isTTY === true && config.terminal !== 'dumb';
  return { sink, redraw, colour: redraw && config.noColour === undefined };
};

/** The body of `POST /api/tasks` that a command line stands for. Files are read here; all else the gateway checks. */
const requestOf = (request: string, options: RunOptions): TaskRequest => {
  const { agentCommand, runtime, workflow, roles, mode, analyst, setup, base, deadline } = options;
  const fields = {
    repository: options.repo === undefined ? undefined : repositoryOf(options.repo),
    base,
    workflow,
    roles,
    mode,
    analyst,
    setup,
    checks: checksOf(options),
    runtime,
    agent_command: agentCommand === undefined ? undefined : fullCommand(agentCommand),
    priority: options.priority as TaskRequest['priority'],
    budget: budgetOf(options),
    deadline,
    scenario: options.scenario === undefined ? undefined : readScenario(options.scenario),
  };
  const given = Object.entries(fields).filter(([, value]) => value !== undefined);
  return { request, ...(Object.fromEntries(given) as Omit<TaskRequest, 'request'>) };
};

const checksOf = ({ check, checkTimeout }: RunOptions): CheckRequest[] | undefined => {
  if (checkTimeout !== undefined && check === undefined) {
    throw new CommandFailure('usage', '--check-timeout is of the commands that --check names; there is none.');
  }
  const more = checkTimeout === undefined ? {} : { timeout_ms: checkTimeout };
  return check?.map((command, at) => ({ name: `check-${at + 1}`, command, ...more }));
};

/** A path becomes absolute, for the fleet stands elsewhere; a URL (or `host:path` of ssh) stays as it is. */
export const repositoryOf = (given: string): string => {
  if (given.trim() === '') {
    const right = 'Give a path or URL ("." is this folder), or leave --repo out for a new repository.';
    throw new CommandFailure('usage', `--repo is empty: was a variable not set? ${right}`);
  }
  const isUrl = /^[a-z][a-z0-9+.-]*:\/\//i.test(given) || (/^[^/\\]+:/.test(given) && !existsSync(given));
  return isUrl ? given : resolve(given);
};

const readScenario = (file: string): string => {
  try {
    return readFileSync(file, 'utf8');
  } catch (error) {
    throw new CommandFailure('usage', `The scenario ${file} cannot be read: ${(error as Error).message}`);
  }
};

const collect = (value: string, before: string[] = []): string[] => [...before, value];
export const list = (value: string): string[] =>
  value
    .split(',')
    .map((part) => part.trim())
    .filter((part) => part !== '');
const timeout = (value: string): number => {
  const read = is.duration.safeParse(value);
  if (read.success && read.data >= 1 && read.data <= checkTimeoutMsMax) return read.data;
  throw new InvalidArgumentError('Expected a time such as 90s, 10m or 2h, and 2h at most.');
};
const checkTimeoutMsMax = 7_200_000;
export const onOff = (value: string): boolean => {
  if (value === 'on') return true;
  if (value === 'off') return false;
  throw new InvalidArgumentError('Expected on or off.');
};
