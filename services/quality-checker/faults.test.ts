/** The gate when checks, or the machine that they run on, behave badly. */

import { execFileSync } from 'node:child_process';
import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { listEvidence, readEvidence } from '@nexus/shared/git';
import { expect, test } from 'vitest';
import {
  checker,
  commit,
  gate,
  good,
  home,
  hub,
  integrate,
  names,
  nodeTest,
  npmProject,
  submitted,
  survivors,
  toolsFor,
  verdictOf,
} from '../../test/tools/gate.ts';
import { leaveOut, noMount } from '../../test/tools/machine.ts';
import { onCandidateSubmitted } from './on-candidate-submitted.ts';

test('a check that writes without end is ended and has failed, and its evidence keeps to its limit', async () => {
  const verdict = await gate({ commit: await commit({ 'a.txt': 'x' }), checks: [{ name: 'flood', command: 'yes' }] });
  const [check] = verdict.checks;
  expect([verdict.verdict, check?.state, check?.exit_code]).toEqual(['failed', 'failed', null]);
  expect(check?.why).toBe('It wrote more than 1000000 bytes and was ended.');
  const log = (await readEvidence({ hub, ...(check?.log ?? { ref: 'refs/none', path: '' }) })) ?? '';
  expect(log.length).toBeGreaterThan(50_000);
  expect(log.length).toBeLessThan(100_100);
  expect(log).toContain('characters cut out');
  expect(survivors()).toEqual([]);
});

/** What the sleepers that it finds have in their environments. */
const looks = `for p in /proc/[0-9]*; do
  [ "$(tr '\\0' ' ' < $p/cmdline)" = 'sleep 600 ' ] && tr '\\0' '\\n' < $p/environ
done 2> /dev/null; true`;

test('daemons that a check leaves behind end with it, also those that left its session, and it passes', async () => {
  const daemons = 'setsid sleep 600 & (setsid sh -c "sleep 600 & sleep 600" &); nohup sleep 600 >/dev/null 2>&1 &';
  const mine = await commit({ 'a.txt': 'x' });
  const verdict = await gate({
    commit: mine,
    checks: [
      { name: 'leaves', command: `${daemons} exit 0` },
      { name: 'looks', command: looks },
    ],
  });
  expect(verdict.checks.map(({ state }) => state)).toEqual(['passed', 'passed']);
  expect(verdict.checks[1]?.log_tail).not.toContain(checker);
  expect(survivors()).toEqual([]);
});

test('a secret in a command that was not run stands in no verdict either', async () => {
  const checks = [{ name: 'asked', command: 'curl --user hunter2 localhost' }];
  const verdict = await gate({ commit: await commit({ 'a.txt': 'x' }), setup: ['exit 3 # hunter2'], checks });
  expect(verdict.checks.map(({ state }) => state)).toEqual(['broken', 'skipped']);
  expect(JSON.stringify(verdict)).not.toContain('hunter2');
});

test('a secret that a test prints stands in no log, verdict or name that is kept', async () => {
  const loud = nodeTest(['says hunter2', 'console.log("the password is hunter2"); assert.equal("hunter2", 2);']);
  const verdict = await gate({ commit: await commit({ 'a.test.mjs': loud }) });
  expect(verdict.checks[0]?.failing).toEqual(['a.test.mjs > says (redacted)']);
  expect(JSON.stringify(verdict)).not.toContain('hunter2');
  const ref = names.evidence('gate-part-1');
  const paths = await listEvidence({ hub, ref });
  // The same verdict once more by its commit: for whoever asks for that gate again.
  const files = paths.map((path) => path.replace(/^.*\//, '').replace(/^[0-9a-f]{40}(?=\.json$)/, 'commit'));
  expect(files.sort()).toEqual(['commit.json', 'tests.log', 'verdict.json']);
  for (const path of paths) expect(await readEvidence({ hub, ref, path })).not.toContain('hunter2');
});

leaveOut('a disk that fills up', noMount);
test.skipIf(noMount !== null)(
  'a disk that fills up is broken and one clear sentence, whoever touched what',
  async () => {
    await integrate({ 'package.json': npmProject({ test: 'node --test' }), 'a.test.js': nodeTest(['adds', good]) });
    const fills = 'head -c 9000000 /dev/zero > ballast';
    const mine = await commit({ 'package.json': npmProject({ test: fills }), 'b.js': 'export {};\n' });
    const gates = join(home, 'gates');
    await mkdir(gates);
    execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=8m', 'tmpfs', gates]);
    try {
      const setup = await gate({ commit: mine, setup: [fills], before: [] });
      expect(setup).toMatchObject({
        verdict: 'broken',
        checks: [{ name: 'set-up', state: 'broken' }, { state: 'skipped' }],
      });
      expect(setup.says).toMatch(/The disk is full \(\d MB are free\): the set-up ended with exit code 1\./);
      const tools = { ...toolsFor(), config: { ...toolsFor().config, diskReserve: 3_000_000 } };
      const check = verdictOf(await onCandidateSubmitted(submitted({ commit: mine, before: [] }), tools));
      expect(check).toMatchObject({ verdict: 'broken', checks: [{ name: 'tests', state: 'broken' }] });
      expect(check.says).toMatch(/The disk is full: \d MB are free\./);
    } finally {
      execFileSync('umount', ['-l', gates]);
    }
  },
);
