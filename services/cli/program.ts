/**
 * The `nexus` command: one file per verb in verbs/, put together here.
 *
 * `runCommand` parses, runs one verb and returns the exit code; it never exits by itself, so that a test can
 * call it. To add a verb: one file that exports `add<Verb>(program, act)`, and one line in `verbs` below.
 */
import { readFileSync } from 'node:fs';
import { Command, CommanderError } from 'commander';
import { asTyped, inContainer } from './command-word.ts';
import type { CliConfig } from './config.ts';
import { type CommandFailure, type Exit, exitCodes, toFailure } from './exit-codes.ts';
import { openOutput, painter, type Sink, table } from './output.ts';
import { type Ask, openTools, type Tools } from './tools.ts';
import { addAgents } from './verbs/agents.ts';
import { addAnswer } from './verbs/answer.ts';
import { addCancel } from './verbs/cancel.ts';
import { addCost } from './verbs/cost.ts';
import { addDlq } from './verbs/dlq.ts';
import { addDoctor } from './verbs/doctor.ts';
import { addDown } from './verbs/down.ts';
import { addDrain, addPause, addResume } from './verbs/hold.ts';
import { addLogs } from './verbs/logs.ts';
import { addMemory } from './verbs/memory.ts';
import { addPlan } from './verbs/plan.ts';
import { addRetry } from './verbs/retry.ts';
import { addRun } from './verbs/run.ts';
import { addSessions } from './verbs/sessions.ts';
import { addStatus } from './verbs/status.ts';
import { addStop } from './verbs/stop.ts';
import { addTask } from './verbs/task.ts';
import { addTasks } from './verbs/tasks.ts';
import { addToken } from './verbs/token.ts';
import { addUp } from './verbs/up.ts';

/** What a verb does with its arguments; it may return how it ended, else it went well. */
export type Work<A extends unknown[]> = (tools: Tools, ...parameters: A) => Promise<Exit | undefined>;
/** Makes of a verb's work what commander calls. */
export type Act = <A extends unknown[]>(work: Work<A>) => (...parameters: [...A, Command]) => Promise<void>;

const { version } = JSON.parse(readFileSync(new URL('./package.json', import.meta.url), 'utf8')) as { version: string };

const verbs = [
  addRun,
  addPlan,
  addUp,
  addDown,
  addStatus,
  addTasks,
  addTask,
  addLogs,
  addAgents,
  addStop,
  addPause,
  addDrain,
  addResume,
  addRetry,
  addAnswer,
  addCancel,
  addCost,
  addDlq,
  addMemory,
  addSessions,
  addToken,
  addDoctor,
];

export type Surroundings = {
  readConfig(): CliConfig;
  stdout: Sink;
  stderr: Sink;
  signal: AbortSignal;
  /** Asks the person at the terminal; left out where there is none. */
  ask?: Ask;
};

/** Runs one command line (without `node` and `nexus`) and gives its exit code. */
export const runCommand = async (words: string[], around: Surroundings): Promise<number> => {
  let exit: Exit = 'ok';
  const act: Act =
    (work) =>
    async (...parameters) => {
      const command = parameters.at(-1) as Command;
      exit = (await work(toolsOf(command, around), ...(parameters.slice(0, -1) as never))) ?? 'ok';
    };
  try {
    await makeProgram(around, act).parseAsync(words, { from: 'user' });
    return exitCodes[exit].code;
  } catch (error) {
    if (error instanceof CommanderError) return error.exitCode === 0 ? 0 : exitCodes.usage.code;
    if (around.signal.aborted) return interrupted(around);
    const failure = toFailure(error);
    tell(failure, words.includes('--json'), around);
    return exitCodes[failure.exit].code;
  }
};

/** The program with all its verbs; `act` decides what running one means. */
export const makeProgram = ({ stdout, stderr }: Pick<Surroundings, 'stdout' | 'stderr'>, act: Act): Command => {
  const program = new Command('nexus')
    .description('A fleet of AI software agents: give it a request, get a tested and merged branch.')
    .version(version, '--version', 'print the version')
    .exitOverride()
    .configureOutput({
      writeOut: (text) => stdout.write(asTyped(text)),
      writeErr: (text) => stderr.write(asTyped(text)),
      outputError: (text, write) => write(`nexus: ${text.replace(/^error: /, '')}`),
    })
    .configureHelp({ showGlobalOptions: false })
    .showHelpAfterError('Type `nexus --help`, or `nexus <command> --help`, for what there is.')
    .addHelpText('after', closingHelp());
  for (const add of verbs) add(program, act);
  for (const command of leavesOf(program)) command.option('--json', 'print one JSON document, no words');
  return program;
};

const leavesOf = (command: Command): Command[] =>
  command.commands.length === 0 ? [command] : command.commands.flatMap((one) => leavesOf(one as Command));

const closingHelp = (): string => {
  const codes = Object.values(exitCodes).map(({ code, says }) => `  ${String(code).padStart(3)}  ${says}`);
  const repository = inContainer ? '/repositories/shop' : '.';
  const examples = [
    ...(inContainer ? [] : [['nexus up', 'start a fleet on this machine']]),
    [`nexus run "Add CSV export" --repo ${repository} --agent-command my-agent`, 'give it work, and follow it'],
    ['nexus tasks', 'what was asked for, newest first'],
    ['nexus stop --all', 'end every agent, now'],
  ].map(([command = '', says = '']) => [`  ${asTyped(command)}`, says]);
  return `
Examples:
${table(examples).join('\n')}

Settings (environment):
  NEXUS_URL      where the gateway is; left out, the fleet of this installation, else http://127.0.0.1:8080
  NEXUS_TOKEN    the token of the API; left out, it is read from Redis (REDIS_URL)
  NO_COLOR       no colours

Exit codes:
${codes.join('\n')}`;
};

const toolsOf = (command: Command, around: Surroundings): Tools => {
  const config = around.readConfig();
  const { json = false } = command.opts<{ json?: boolean }>();
  const colour = config.noColour === undefined && config.terminal !== 'dumb';
  const output = openOutput({ json, colour, stdout: around.stdout, stderr: around.stderr });
  return openTools(config, output, around);
};

const tell = (failure: CommandFailure, json: boolean, { stdout, stderr }: Surroundings): void => {
  const { code } = failure;
  const message = asTyped(failure.message);
  const advice = failure.advice.map((line) => asTyped(line));
  if (json) stdout.write(`${JSON.stringify({ error: { code, says: message, advice } })}\n`);
  const paint = painter(stderr.isTTY === true && !json);
  stderr.write(`${paint('red', 'nexus:')} ${message}\n`);
  for (const line of advice) stderr.write(`  ${line}\n`);
  if (failure.exit === 'unexpected' && failure.cause instanceof Error) stderr.write(`${failure.cause.stack}\n`);
};

const interrupted = ({ signal, stderr }: Surroundings): number => {
  const exit: Exit = signal.reason === 'SIGTERM' ? 'terminated' : 'interrupted';
  stderr.write(`nexus: ended by ${signal.reason}\n`);
  return exitCodes[exit].code;
};
