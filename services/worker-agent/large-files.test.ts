/** Attempts that make files larger than hosts take. */
import type { Message } from '@nexus/shared/bus';
import { catalog } from '@nexus/shared/messages';
import { afterAll, afterEach, beforeEach, expect, test } from 'vitest';
import { closeTemplates, openRig, type Rig } from '../../test/tools/worker.ts';
import type { Order } from './attempt.ts';
import { onSubtaskDispatched } from './on-subtask-dispatched.ts';

let rig: Rig;
beforeEach(async () => {
  rig = await openRig({ 'README.md': 'A project.\n' });
});
afterEach(() => rig.close());
afterAll(closeTemplates);

const dump = 'head -c 2000000 /dev/zero > dump.bin; echo a > a.txt';

const run = async (command: string, fileMax: string, changes: Partial<Order> = {}) => {
  const { tools } = rig.tools({ NEXUS_AGENT_COMMAND: command, NEXUS_COMMIT_FILE_MAX: fileMax });
  const message = { payload: rig.order(changes) } as Message<'subtask.dispatched'>;
  const outcome = await onSubtaskDispatched(message, tools);
  const told = outcome.is === 'done' ? outcome.publish.find(({ type }) => type === 'attempt.finished') : undefined;
  return catalog['attempt.finished'].payload.parse(told?.payload);
};

test.each([
  ['did not commit', ''],
  ['committed', '; git add -A; git commit -qm mine'],
  ['committed and took away again', '; git add -A; git commit -qm mine; git rm -q dump.bin; git commit -qm less'],
])(
  'a file too large for hosts that its agent %s goes back with its name, and not into what is kept',
  async (_, more) => {
    const finished = await run(dump + more, '1MB');
    expect(finished).toMatchObject({ outcome: 'failed', code: 'FILE_TOO_LARGE', commit: null });
    expect(finished.says).toContain('(NEXUS_COMMIT_FILE_MAX is 1 MB): dump.bin (2 MB)');
    expect(rig.git('ls-tree', '-r', '--name-only', finished.wip ?? '')).toContain('a.txt');
    expect(rig.git('log', '--format=', '--name-only', `${rig.integration}..${finished.wip}`)).not.toContain('dump.bin');
  },
);

test('a file of that size is taken where no limit is set, or where there was one before', async () => {
  expect((await run(dump, 'off')).files).toContain('dump.bin');
  const before = await rig.commitOn(rig.integration, { 'dump.bin': 'x'.repeat(1_500_000) });
  const finished = await run(dump, '1MB', { integration: before });
  expect(finished).toMatchObject({ outcome: 'finished', files: ['a.txt', 'dump.bin'] });
});

test.each([
  ['moved', 'mkdir assets; git mv dump.bin assets/', 'finished'],
  ['moved and committed', 'mkdir assets; git mv dump.bin assets/; git commit -qm mine', 'finished'],
  ['copied', 'mkdir assets; cp dump.bin assets/', 'finished'],
  ['moved and changed', 'mkdir assets; git mv dump.bin assets/; echo more >> assets/dump.bin', 'failed'],
  [
    'moved, after it was changed in a commit',
    'echo more >> dump.bin; git mv dump.bin b; git add b; git commit -qm mine; rm b',
    'failed',
  ],
])('a large file of before that is %s: what hosts have already, they take', async (_, command, outcome) => {
  const before = await rig.commitOn(rig.integration, { 'dump.bin': 'x'.repeat(1_500_000) });
  expect(await run(command, '1MB', { integration: before })).toMatchObject({ outcome });
});
