/**
 * The tools that start programs: run and search. Both go through the process door, under the leash and with the mark of
 * the attempt, so that whatever they leave running ends with them. A search is a program, too: a bad pattern or a huge
 * file takes its time there, and not that of the worker.
 */
import { type ProcessResult, run } from '@nexus/shared/process';
import { z } from 'zod';
import { clip } from './clip.ts';
import { defineTool, type Hands, type Tool } from './tool.ts';

/** Between TERM and KILL: an abort is over within a second, also for a program that ignores TERM. */
const graceMs = 250;
const searchMs = 60_000;
const searchBytesMax = 2_000_000;
const commandBytesMax = 5_000_000;
const foundMax = 200;

export const runTool = defineTool({
  name: 'run',
  changes: true,
  description:
    'Runs a shell command in the folder you work in, and says its exit code and what it printed. Programs that it ' +
    'leaves running are ended when it ends: a server and what asks it go into one command.',
  input: z.object({
    command: z.string().min(1).max(100_000),
    seconds: z.int().min(1).optional().describe('End it after so long.'),
  }),
  run: async ({ command, seconds }, hands) => {
    const timeoutMs = Math.min(hands.timeMs, (seconds ?? Number.POSITIVE_INFINITY) * 1000);
    const result = await start(command, hands, timeoutMs, commandBytesMax, true);
    const output = clip(result.output, hands.outputBytesMax);
    return `${endOf(result, timeoutMs)}\n${output}`.trimEnd();
  },
});

export const searchTool = defineTool({
  name: 'search',
  changes: false,
  description:
    'Searches the text files of a folder (or one file) for a pattern, an extended regular expression as `grep -E` ' +
    'takes it. Says file, line number and line. .git and node_modules are left out.',
  input: z.object({
    pattern: z.string().min(1).max(2000),
    path: z.string().min(1).max(4096).default('.'),
    files: z.string().min(1).max(200).optional().describe('Only files whose names fit, such as *.ts.'),
    ignore_case: z.boolean().default(false),
  }),
  run: async ({ pattern, path, files, ignore_case }, hands) => {
    const where = await hands.inside.resolve(path);
    const command: [string, ...string[]] = ['grep', '-rnIE', '--exclude-dir=.git', '--exclude-dir=node_modules'];
    if (ignore_case) command.push('-i');
    if (files !== undefined) command.push(`--include=${files}`);
    const result = await start([...command, '-e', pattern, '--', where], hands, searchMs, searchBytesMax, false);
    if (result.exitCode === 1 && result.stdout === '') return '(nothing found)';
    if (result.stdout === '') throw new Error(result.stderr.trim() || `the search ended with ${result.exitCode}`);
    const lines = result.stdout.trimEnd().split('\n');
    const shown = lines.slice(0, foundMax).map((line) => line.replace(/^\.\//, '').slice(0, 500));
    if (lines.length > foundMax) shown.push(`(${lines.length - foundMax} more: narrow it down)`);
    return clip(shown.join('\n'), hands.outputBytesMax);
  },
});

const start = async (
  command: string | [string, ...string[]],
  hands: Hands,
  timeoutMs: number,
  outputBytesMax: number,
  shown: boolean,
): Promise<ProcessResult> => {
  const { folder, env, mark, guard } = hands.request;
  const { sandbox, limits } = guard?.fence ?? {};
  const result = await run({
    ...{ command, folder, env, mark, timeoutMs, outputBytesMax, graceMs },
    signal: hands.signal,
    leashed: true,
    limits,
    sandbox,
    ownFolder: shown || 'mark',
    ...(shown ? { onOutput: hands.onOutput } : {}),
  });
  hands.leftBehind(result.leftBehind);
  return result;
};

const endOf = (result: ProcessResult, timeoutMs: number): string => {
  if (result.timedOut) return `ended after ${timeoutMs / 1000} s, which is the limit`;
  if (result.outputLimited) return `ended: it printed more than ${commandBytesMax} bytes`;
  if (result.limit) return `ended: it used more than it may (${result.limit})`;
  if (result.signal !== null) return `killed by ${result.signal}`;
  const left = result.leftBehind > 0 ? `; ended ${result.leftBehind} process(es) that it had left running` : '';
  return `exit code ${result.exitCode}${left}`;
};

export const programTools: Tool[] = [runTool, searchTool];
