/** An agent that makes its clone unusable, with everything real but the fabric. */
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Message } from '@nexus/shared/bus';
import { afterAll, afterEach, beforeEach, expect, test } from 'vitest';
import { closeTemplates, openRig, type Rig, taskId } from '../../test/tools/worker.ts';
import { onSubtaskDispatched } from './on-subtask-dispatched.ts';

let rig: Rig;
beforeEach(async () => {
  rig = await openRig({ 'README.md': 'A project.\n' });
});
afterEach(() => rig.close());
afterAll(closeTemplates);

test.each([
  ['its objects', 'rm -rf .git/objects'],
  ['the whole of .git', 'rm -rf .git'],
  ['its packs', 'rm -rf .git/objects/pack/*'],
  ['its head', 'echo nonsense > .git/HEAD'],
])('CLONE_DAMAGED: an agent that destroys %s ends its own attempt; its files stay', async (_what, command) => {
  const { tools } = rig.tools({ NEXUS_AGENT_COMMAND: `echo a > a.txt; ${command}; echo it is gone` });
  const order = rig.order();
  const outcome = await onSubtaskDispatched({ payload: order } as Message<'subtask.dispatched'>, tools);
  const finished = outcome.is === 'done' && outcome.publish.find(({ type }) => type === 'attempt.finished');
  expect(finished || outcome).toMatchObject({
    payload: { outcome: 'failed', code: 'CLONE_DAMAGED', log_tail: expect.stringContaining('it is gone') },
  });
  const folder = join(rig.home, 'workspaces', taskId);
  const [clone = ''] = readdirSync(folder);
  expect(readFileSync(join(folder, clone, 'a.txt'), 'utf8')).toBe('a\n');
  // The next attempt has nothing to do with it.
  const again = rig.tools({ NEXUS_AGENT_COMMAND: 'echo b > b.txt' });
  const next = await onSubtaskDispatched({ payload: order } as Message<'subtask.dispatched'>, again.tools);
  expect(next.is === 'done' && next.publish.at(-1)).toMatchObject({
    payload: { outcome: 'finished', files: ['b.txt'] },
  });
});
