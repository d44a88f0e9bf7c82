import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { AgentDefinition } from '@nexus/shared/catalog';
import type { Limits } from '@nexus/shared/process';
import { expect, onTestFinished, test } from 'vitest';
import { runProgram } from './run-program.ts';
import type { RunRequest } from './runtimes.ts';

let count = 0;

/** Runs a shell command as an agent within these limits. */
const runWithin = (limits: Limits, command: string) => {
  count += 1;
  const folder = mkdtempSync(join(tmpdir(), 'nexus-program-'));
  onTestFinished(() => rmSync(folder, { recursive: true, force: true }));
  const request: RunRequest = {
    ids: { taskId: 'a-task', subtaskId: 'a-subtask', attempt: 1, role: 'builder', kind: 'code' },
    agent: { agent_id: 'code_developer', name: 'Code', role: 'builder' } as AgentDefinition,
    ...{ prompt: '', folder, env: {}, mark: `program-${process.pid}-${count}`, timeBoxMs: 20_000 },
    ...{ outputBytesMax: 1_000_000, signal: new AbortController().signal, onOutput: () => undefined, session: null },
    context: { agentCommand: null, rehearsal: false, task: null },
    guard: { fence: { limits }, admit: () => ({}), lend: neverLent, used: () => [], close: () => undefined },
  };
  return runProgram(request, command, '');
};

const neverLent = () => ({ address: '', pass: '', env: {} });
const node = (code: string) => `'${process.execPath}' -e "${code}"`;

test.runIf(process.platform === 'linux').each([
  ['AGENT_CPU_LIMIT', { cpuMs: 600 }, 'while true; do :; done', /0.01 minutes.*NEXUS_AGENT_CPU_MAX/],
  [
    'AGENT_MEMORY_LIMIT',
    { memoryBytes: 80e6 },
    node('const held = Buffer.alloc(2e8, 1); setInterval(() => held, 1e3)'),
    /80 MB.*NEXUS_AGENT_MEMORY_MAX/,
  ],
  [
    'AGENT_PROCESS_LIMIT',
    { processes: 5 },
    'for i in 1 2 3 4 5 6 7; do sleep 30 & done; wait',
    /more than 5 .*NEXUS_AGENT_PROCESSES_MAX/,
  ],
  ['AGENT_FILE_LIMIT', { fileBytes: 1e6 }, 'exec head -c 2000000 /dev/zero > large', /1 MB.*NEXUS_AGENT_FILE_MAX/],
])('%s: the limit has a code, and names the setting that raises it', async (code, limits, command, says) => {
  const result = await runWithin(limits, command);
  expect(result).toMatchObject({ ok: false, code, says: expect.stringMatching(says) });
});

test('a program that meets the end of a file and says so has met that limit, whatever its exit code', async () => {
  const code =
    "try { require('fs').writeFileSync('x', Buffer.alloc(2e6)) } catch (e) { console.error(e.code); process.exit(4) }";
  expect(await runWithin({ fileBytes: 1e6 }, node(code))).toMatchObject({ code: 'AGENT_FILE_LIMIT', exitCode: 4 });
  expect(await runWithin({ fileBytes: 1e6 }, 'echo EFBIG; exit 0')).toMatchObject({ ok: true });
});

test('AGENT_PROGRAM_MISSING: what is not there, or may not be run, is said so, and not by a number alone', async () => {
  const missing = await runWithin({}, '/nowhere/my-agent --yes');
  expect(missing).toMatchObject({
    code: 'AGENT_PROGRAM_MISSING',
    says: expect.stringMatching(/127: a program .* is not there/),
  });
  expect((await runWithin({}, 'touch agent && ./agent')).says).toMatch(/126: a file .* may not be run/);
  expect((await runWithin({}, 'exit 3')).says).toBe('The agent ended with exit code 3.');
});
