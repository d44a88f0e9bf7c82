/**
 * A series of similar tasks, with every service as it is, real git and real gates: what failed in the first is not
 * done again in the second. The agent knows no rule of the project but what its prompt tells it.
 */
import { chmodSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { hubPath } from '@nexus/shared/git';
import { readBoard, readTask } from '@nexus/shared/ledger';
import { projectScope } from '@nexus/shared/memory';
import type { TaskRequest } from '@nexus/shared/messages/domain';
import { expect, test } from 'vitest';
import { eventually } from '../../tools/eventually.ts';
import { memoriesOn } from '../../tools/memories.ts';
import { testFabric } from '../../tools/redis.ts';
import { fresh, plain, write } from '../../tools/repositories.ts';
import { startService, testHome } from '../../tools/service-process.ts';

/** The rule of the project, which only its check knows: its output is all that an agent can learn of it. */
const rule = `for (const name of require('fs').readdirSync('src'))
  if (!require('fs').readFileSync('src/' + name, 'utf8').startsWith('# owner: payments'))
    { console.error(name + ' must begin with the line "# owner: payments"'); process.exitCode = 1; }
`;

/** Writes a page, and begins it with whatever line its prompt says that a page must begin with. */
const agent = `#!/usr/bin/env node
const fs = require('fs');
const prompt = fs.readFileSync(0, 'utf8');
const line = /must begin with the line "([^"]+)"/.exec(prompt)?.[1];
fs.mkdirSync('src', { recursive: true });
fs.writeFileSync('src/' + process.env.NEXUS_TASK + '.txt', (line ? line + '\\n' : '') + 'A page\\n');
fs.mkdirSync('.nexus', { recursive: true });
const summary = line ? 'Wrote the page with its owner.' : 'Wrote the page.';
fs.writeFileSync('.nexus/report.json', JSON.stringify({ summary }));
console.log(prompt.includes('learned before') ? 'It was told what was learned before.' : 'It was told nothing.');
`;

const makeRepository = (): string => {
  const repository = fresh('shop');
  write(repository, { 'check.cjs': rule, 'README.md': 'A shop.\n' });
  plain(repository, 'init', '-q', '-b', 'main');
  plain(repository, 'add', '-A');
  plain(repository, 'commit', '-q', '-m', 'Begin');
  return repository;
};

const openFleet = async () => {
  const fabric = testFabric();
  const home = testHome();
  const agentFile = join(home, 'agent.cjs');
  writeFileSync(agentFile, agent);
  chmodSync(agentFile, 0o755);
  const env = {
    NEXUS_HOME: home,
    NEXUS_AGENT_COMMAND: agentFile,
    NEXUS_RETRY_BASE: '50ms',
    NEXUS_CHECKPOINT_QUIET: '60s',
  };
  const services = ['orchestrator', 'project-manager', 'worker-agent', 'quality-checker', 'finalizer'] as const;
  // One after the other: a busy machine starts five at once no sooner.
  for (const service of services) await startService(service, fabric, env);
  const bus = await fabric.open('gateway', { observer: true });
  const ended = async (id: string) => {
    const head = await eventually(
      `${id} ends`,
      async () => {
        const now = (await readTask(bus.store, bus.keys, id))?.head;
        return now !== undefined && now.ended_at !== null && now;
      },
      100_000,
    );
    const board = await readBoard(bus.store, bus.keys, id);
    const attempts = [...(board?.subtasks.values() ?? [])].map(({ attempt }) => attempt);
    return { status: head.status, reason: head.reason, attempts, sent_back: board?.head.sent_back };
  };
  return {
    memories: memoriesOn(bus),
    /** The prompts of a task's attempts at its agent's work, as they were sent. */
    prompts: (id: string): string[] => {
      const hub = hubPath(home, id);
      const found = plain(hub, 'for-each-ref', '--format=%(refname)', `refs/nexus/${id}/evidence`).split('\n');
      return found
        .filter((ref) => plain(hub, 'ls-tree', '--name-only', '-r', ref).split('\n').includes('prompt.md'))
        .map((ref) => plain(hub, 'show', `${ref}:prompt.md`));
    },
    /** Deletes a task with all that belongs to it. */
    remove: async (id: string) => {
      await bus.publish({ type: 'deletion.requested', payload: { task_id: id }, thread: id, actor: 'test' });
      await eventually(`${id} is gone`, async () => (await readTask(bus.store, bus.keys, id)) === null);
    },
    run: async (id: string, repository: string, request: string) => {
      const checks = [{ name: 'owners', command: 'node check.cjs' }];
      const asked: TaskRequest = { request, repository, roles: ['builder'], checks, setup: [] };
      await bus.publish({
        type: 'task.submitted',
        payload: { task_id: id, request: asked },
        thread: id,
        actor: 'test',
      });
      return ended(id);
    },
  };
};

test('the second of two similar tasks avoids the failure of the first, and only where that was learned', {
  timeout: 240_000,
}, async () => {
  const { run, remove, memories, prompts } = await openFleet();
  const [shop, other] = [makeRepository(), makeRepository()];
  const once = { status: 'completed', reason: null, attempts: [1], sent_back: 0 };
  const sentBack = { status: 'completed', reason: null, attempts: [2], sent_back: 1 };

  expect(await run('first-page', shop, 'Add a page about invoices')).toEqual(sentBack);
  const lessons = await eventually('both lessons are kept', async () => {
    const kept = (await memories.list({ scope: projectScope(shop), limit: 9, offset: 0 })).memories;
    return kept.length === 2 && kept;
  });
  expect(lessons.flatMap(({ tags }) => tags).sort()).toEqual(['builder', 'builder', 'mended', 'owners', 'sent_back']);
  expect(
    lessons.flatMap(({ sources }) => sources.map(({ task_id, attempt }) => `${task_id} ${attempt}`)).sort(),
  ).toEqual([...['first-page 1', 'first-page 2']]);

  expect(await run('second-page', shop, 'Add a page about refunds')).toEqual(once);
  const used = (await memories.list({ scope: projectScope(shop), limit: 9, offset: 0 })).memories;
  expect(used.some(({ uses }) => uses > 0)).toBe(true);
  // What the gate had refused, and what mended it, each with where it comes from.
  const [prompt = '', ...others] = prompts('second-page');
  expect(others).toEqual([]);
  for (const attempt of [1, 2]) {
    expect(prompt).toMatch(
      new RegExp(`From: lesson of builder, task first-page, subtask \\S+, attempt ${attempt}, \\d`),
    );
  }
  expect(prompt).toContain('Work on this did not pass the project’s checks');
  expect(prompt).toContain('What the attempt that passed says it did: Wrote the page with its owner.');

  // A lesson outlives its task.
  await remove('first-page');
  expect((await memories.list({ scope: projectScope(shop), limit: 9, offset: 0 })).total).toBe(used.length);
  // Its lessons, the digests of its two attempts, and that the gate sent the first one back.
  expect(await memories.remove({ task: 'first-page' })).toBe(used.length + 3);
  expect((await memories.list({ scope: projectScope(shop), limit: 9, offset: 0 })).total).toBe(0);

  // Nobody learned anything there: the same request fails there as it did here at first.
  expect(await run('elsewhere', other, 'Add a page about refunds')).toEqual(sentBack);

  await eventually('its agent has a history of what it did', async () => {
    const history = (await memories.list({ scope: 'agent:builder', limit: 9, offset: 0 })).memories;
    const told = history.map(({ kind, sources }) => `${kind} ${sources[0]?.task_id} ${sources[0]?.attempt}`).sort();
    // Of the first there it knows two things: that it ended, and that the gate sent it back.
    const [first, second] = ['digest elsewhere 1', 'digest elsewhere 2'];
    return told.join() === [first, first, second, 'digest second-page 1'].join();
  });
});
