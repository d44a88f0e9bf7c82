import { chmodSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { homedir } from 'node:os';
import { join } from 'node:path';
import { probeSandbox, type Sandbox } from '@nexus/shared/process';
import { expect, onTestFinished, test, vi } from 'vitest';
import { leaveOut } from '../../../test/tools/machine.ts';
import { runtime as claudeCode } from '../runtimes/claude-code.ts';
import { runtime as command } from '../runtimes/command.ts';
import { chooseRuntime, type RuntimeContext } from '../runtimes.ts';
import { whyNotInside } from './seen-inside.ts';

const { usable, says: whatSandbox } = await probeSandbox();
leaveOut('the sandbox', usable ? null : whatSandbox);

/** A program in a place of a person; not below /tmp, which is hidden anyway. */
const install = (name: string, script: string): { place: string; path: string } => {
  const place = mkdtempSync(join(homedir(), 'nexus-inside-'));
  onTestFinished(() => rmSync(place, { recursive: true, force: true }));
  mkdirSync(join(place, 'bin'));
  const path = join(place, 'bin', name);
  writeFileSync(path, `#!/bin/sh\n${script}\n`);
  chmodSync(path, 0o755);
  return { place, path };
};
const fenced = (hidden: string[]): Sandbox => ({ writable: [], hidden, network: true });
const asked = (more: Partial<RuntimeContext>): RuntimeContext => ({
  ...{ agentCommand: null, rehearsal: false, task: null },
  ...more,
});

test.runIf(usable)('a program that agents cannot see in their sandbox is not usable, and it is said why', async () => {
  const { place, path } = install('my-agent', 'exit 1');
  const look = (hidden: string[]) => command.usable(asked({ agentCommand: path, sandbox: fenced(hidden) }));
  expect(await look([])).toMatchObject({ usable: true });
  expect(await look([place])).toEqual({
    usable: false,
    looked: expect.stringContaining(`${path} is here, but does not start in the sandbox of agents: it is not seen`),
    mend: expect.stringContaining('NEXUS_SANDBOX_WRITE'),
  });
});

test.runIf(usable)('a known program is started there: one that only starts outside is not usable', async () => {
  const { place, path } = install('codex', 'grep . "$0.version"');
  writeFileSync(`${path}.version`, 'codex 0.169.0');
  vi.stubEnv('PATH', `${join(place, 'bin')}:${process.env.PATH}`);
  onTestFinished(() => void vi.unstubAllEnvs());
  const look = (hidden: string[]) => command.usable(asked({ agentCommand: 'codex', sandbox: fenced(hidden) }));
  expect(await look([])).toMatchObject({ usable: true });
  expect(await look([`${path}.version`])).toMatchObject({
    usable: false,
    looked: expect.stringContaining(`${path} is here, but does not start in the sandbox of agents`),
  });
});

test.runIf(usable)('so it is with the CLI of Claude Code', async () => {
  const { place, path } = install('claude', 'echo "2.1.328 (Claude Code)"');
  const settings = { claudeProgram: path, claudeLogin: 'bedrock' as const };
  vi.stubEnv('CLAUDE_CODE_USE_BEDROCK', '1');
  vi.stubEnv('AWS_REGION', 'eu-central-1');
  vi.stubEnv('AWS_BEARER_TOKEN_BEDROCK', 'of-nobody');
  onTestFinished(() => void vi.unstubAllEnvs());
  const look = (hidden: string[]) => claudeCode.usable(asked({ settings, sandbox: fenced(hidden) }));
  expect(await look([])).toMatchObject({ usable: true });
  expect(await look([place])).toMatchObject({
    usable: false,
    looked: expect.stringContaining(`${path} is here, but does not start in the sandbox of agents`),
  });
});

test.runIf(usable)('a machine that is too slow or full for a look says nothing of the program', async () => {
  const { place, path } = install('my-agent', 'sleep 600');
  const slow = await whyNotInside(path, [path], fenced([]), { timeoutMs: 1 });
  expect(slow).toMatchObject({ problem: expect.stringContaining('it is not done in'), passing: true });
  vi.stubEnv('TMPDIR', join(place, 'no-such-folder'));
  onTestFinished(() => void vi.unstubAllEnvs());
  const context = asked({ agentCommand: path, sandbox: fenced([]) });
  expect(await command.usable(context)).toMatchObject({ usable: false, passing: true });
  expect(await chooseRuntime(new Map([['command', command]]), [], context)).toBe(command);
});
