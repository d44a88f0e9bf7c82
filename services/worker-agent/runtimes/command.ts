/**
 * The runtime `command`: any executable as an agent.
 *
 * It reads its prompt on standard input, works in its current folder, and what it prints is shown as it
 * comes; exit code 0 is success. Which command: the task's `agent_command`, else `NEXUS_AGENT_COMMAND`.
 * It is run by `sh -c`, so it may have arguments, quotes and pipes. It keeps no conversation: going on
 * means running it again, with the hand-over in its prompt. The bare name of a program that `presets/` knows
 * (codex, gemini, opencode) is run as that wants to be: its events are read, and its conversation goes on.
 */
import { isAbsolute } from 'node:path';
import { allowedEnv, findProgram, type Sandbox } from '@nexus/shared/process';
import { presetOf } from '../presets/presets.ts';
import { payerOf, runPreset, writesOf } from '../presets/run-preset.ts';
import { missing, runProgram } from '../run-program.ts';
import { defineRuntime, type RuntimeContext } from '../runtimes.ts';
import { namedBelowTmp } from '../safety/named-files.ts';
import { type Hidden, whyNotInside } from '../safety/seen-inside.ts';

export const runtime = defineRuntime({
  name: 'command',
  // A command without a preset tells no conversation, so none is ever gone on with.
  capabilities: { resume: true, cost: false },
  usable: async (context) => {
    const { command, from } = commandOf(context);
    if (command === null) {
      return {
        usable: false,
        looked: 'no agent command is set, neither by the task (agent_command) nor by NEXUS_AGENT_COMMAND',
        mend: 'set NEXUS_AGENT_COMMAND on the workers, or pass agent_command with the task',
      };
    }
    const program = programOf(command);
    if (program === null) return { usable: true, looked: `${from} is a shell script`, mend: '' };
    if (isRelative(program)) return { usable: true, looked: `${from} lies in the workspace: ${program}`, mend: '' };
    const path = await findProgram(program, { env: allowedEnv() });
    const mended = isAbsolute(program) ? 'correct the path' : 'give its full path';
    if (path === null) {
      return {
        usable: false,
        looked: `${from} is \`${command.slice(0, 200)}\`, and there is no program "${program}" on the path`,
        mend: `install ${program} where the workers run, or ${mended}`,
      };
    }
    const inside = await lookInside(command, path, context.sandbox);
    if (inside === null) return { usable: true, looked: `${from} is ${path}`, mend: '' };
    const { problem, ...more } = inside;
    return { usable: false, looked: `${from}: ${problem}`, ...more };
  },
  payer: async (context, agent) => {
    const preset = presetOf(commandOf(context).command ?? '');
    return preset === null ? null : payerOf(preset, agent);
  },
  run: async (request) => {
    const { command } = commandOf(request.context);
    if (command === null) return missing('(no agent command)');
    const program = programOf(command);
    const there =
      program === null || (await findProgram(program, { folder: request.folder, env: allowedEnv(request.env) }));
    if (!there) return missing(program ?? command);
    const preset = presetOf(command);
    return preset === null ? runProgram(request, command, request.prompt) : runPreset(preset, request);
  },
  resume: (session, request) => runtime.run({ ...request, session }),
});

/** A program that we know is started; what others would do at that nobody knows, so their file is looked at. */
const lookInside = (command: string, path: string, sandbox: Sandbox | undefined): Promise<Hidden | null> => {
  const preset = presetOf(command);
  const start: [string, ...string[]] = preset === null ? ['test', '-x', path] : [path, '--version'];
  const readable = namedBelowTmp(command, sandbox?.hidden ?? []);
  return whyNotInside(path, start, sandbox, { readable, writable: preset === null ? [] : writesOf(preset) });
};

const commandOf = (context: RuntimeContext): { command: string | null; from: string } =>
  context.task?.agent_command
    ? { command: context.task.agent_command, from: 'the task’s agent_command' }
    : { command: context.agentCommand, from: 'NEXUS_AGENT_COMMAND' };

const isRelative = (program: string): boolean => program.includes('/') && !program.startsWith('/');

/**
 * The program that a command line starts: its first word, after assignments such as `DEBUG=1`. Null where that
 * cannot be said without being a shell (quotes inside a word, variables, `(`), or where the shell does it itself.
 */
export const programOf = (command: string): string | null => {
  const words = command.trim().match(/'[^']*'|"[^"$`\\]*"|\S+/g) ?? [];
  const first = words.find((word) => !/^[A-Za-z_][A-Za-z0-9_]*=[^$`"'(]*$/.test(word));
  if (first === undefined) return null;
  const bare = /^(['"]).*\1$/.test(first) ? first.slice(1, -1) : first;
  if (!/^[\w./+@%:,~ -]+$/.test(bare) || bare.startsWith('~')) return null;
  return shellWords.has(bare) ? null : bare;
};

const shellWords = new Set(
  ['.', ':', 'cd', 'echo', 'eval', 'exec', 'exit', 'export', 'false', 'for', 'if', 'kill', 'printf', 'read'].concat([
    'set',
    'test',
    'trap',
    'true',
    'ulimit',
    'umask',
    'unset',
    'until',
    'wait',
    'while',
    'case',
    'command',
  ]),
);
