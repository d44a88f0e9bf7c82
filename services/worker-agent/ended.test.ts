/** What is kept of an attempt whose task ends while its agent works. */
import { existsSync, readdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import type { Message } from '@nexus/shared/bus';
import { fail } from '@nexus/shared/errors';
import { readEvidence, refs } from '@nexus/shared/git';
import { listMarked } from '@nexus/shared/process';
import { afterAll, afterEach, beforeEach, expect, test, vi } from 'vitest';
import { closeTemplates, openRig, type Rig, taskId } from '../../test/tools/worker.ts';
import { onSubtaskDispatched } from './on-subtask-dispatched.ts';

let rig: Rig;
beforeEach(async () => {
  rig = await openRig({ 'README.md': 'A project.\n' });
});
afterEach(() => rig.close());
afterAll(closeTemplates);

/** An attempt in the middle of its work; `end` says that its task has ended, and waits for what it does then. */
const working = async () => {
  const delivery = rig.tools({ NEXUS_AGENT_COMMAND: 'echo half > half.txt; echo written; sleep 300' });
  const message = { payload: rig.order() } as Message<'subtask.dispatched'>;
  const outcome = Promise.resolve(onSubtaskDispatched(message, delivery.tools)).catch((thrown) => thrown);
  await delivery.until('written');
  const end = async () => {
    delivery.stop(fail('TASK_ENDED', { task: taskId, status: 'cancelled' }));
    expect(await outcome).toMatchObject({ code: 'TASK_ENDED' });
  };
  return { tools: delivery.tools, end };
};
const agents = () => listMarked().filter(({ home }) => home === rig.home);
const kept = (path: string) => readEvidence({ hub: rig.hub, ref: refs(taskId).evidence('storage-1'), path });

test('what its agent did and said is kept under its names, and told to no ledger', async () => {
  const { tools, end } = await working();
  await end();
  const ref = refs(taskId).wip('storage', 1, tools.claim.token);
  expect(rig.git('show', `${ref}:half.txt`)).toBe('half');
  expect(await kept('output.log')).toContain('written');
  expect(await kept('prompt.md')).toContain('Write the storage.');
  const about = JSON.parse((await kept('attempt.json')) ?? '');
  expect(about).toMatchObject({ outcome: 'aborted', code: 'TASK_ENDED', wip: rig.git('rev-parse', ref) });
  expect(rig.ledger.get('{test}:attempt:a-task:storage')?.checkpoint ?? 'null').toBe('null');
  expect(existsSync(join(rig.home, 'workspaces', taskId))).toBe(false);
  expect(agents()).toEqual([]);
});

test('where the task was deleted and its hub is gone, nothing is saved, and no error met', async () => {
  const { tools, end } = await working();
  rmSync(rig.hub, { recursive: true });
  const warn = vi.spyOn(tools.log, 'warn');
  await end();
  expect(existsSync(rig.hub)).toBe(false);
  expect(warn).not.toHaveBeenCalled();
  expect(agents()).toEqual([]);
});

test('work that cannot be saved stays in its folder, and the evidence says where', async () => {
  const { end } = await working();
  const under = join(rig.home, 'workspaces', taskId);
  const folder = join(under, readdirSync(under)[0] ?? '');
  rmSync(join(folder, '.git', 'HEAD'));
  await end();
  expect((await kept('attempt.json')) ?? '').toContain(`stays in ${folder}`);
  expect(await kept('output.log')).toContain('written');
  expect(existsSync(join(folder, 'half.txt'))).toBe(true);
});
