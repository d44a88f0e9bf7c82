import type { Command } from 'commander';
import { expect, test } from 'vitest';
import { openHome, runNexus } from '../../test/tools/cli.ts';
import { exitCodes } from './exit-codes.ts';
import { makeProgram } from './program.ts';

const nowhere = { write: () => undefined };
const pathsOf = (command: Command, path: string[] = []): string[][] => [
  path,
  ...command.commands.flatMap((one) => pathsOf(one as Command, [...path, one.name()])),
];
const verbs = pathsOf(makeProgram({ stdout: nowhere, stderr: nowhere }, () => async () => undefined));

test.each(verbs.map((words) => [words.join(' ') || 'nexus', words] as const))(
  '%s explains itself, and refuses an option that it does not know in one line',
  async (_, words) => {
    const help = await runNexus(openHome(), [...words, '--help'], 'http://127.0.0.1:1');
    expect([help.code, help.err]).toEqual([0, '']);
    expect(help.out).toMatch(/^Usage: nexus/);
    const wrong = await runNexus(openHome(), [...words, '--nonsense'], 'http://127.0.0.1:1');
    expect([wrong.code, wrong.out]).toEqual([exitCodes.usage.code, '']);
    expect(wrong.err).toMatch(/^nexus: unknown option '--nonsense'\n/);
    expect(wrong.err).not.toMatch(/^ +at /m);
  },
);
