import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { probeSandbox, run } from '@nexus/shared/process';
import { expect, onTestFinished, test } from 'vitest';
import { leaveOut } from '../../../test/tools/machine.ts';
import { namedBelowTmp } from './named-files.ts';

const { usable, says: whatSandbox } = await probeSandbox();
leaveOut('the sandbox', usable ? null : whatSandbox);

/** A folder below /tmp as people have it: a program, what it reads beside it, and a place that is hidden. */
const open = () => {
  const root = mkdtempSync('/tmp/nexus-named-');
  onTestFinished(() => rmSync(root, { recursive: true, force: true }));
  for (const name of ['mine', 'home', 'work', 'scratch']) mkdirSync(join(root, name));
  const [mine, secret] = [join(root, 'mine'), join(root, 'home', 'secret')];
  writeFileSync(join(mine, 'agent'), '#!/bin/sh\ncat "$(dirname "$0")/beside"\n', { mode: 0o755 });
  writeFileSync(join(mine, 'beside'), 'what lies beside it');
  writeFileSync(secret, 'a secret');
  symlinkSync(secret, join(mine, 'link'));
  writeFileSync(join(root, 'agent'), '#!/bin/sh\necho alone; ls "$(dirname "$0")"\n', { mode: 0o755 });
  return { root, mine, secret, home: join(root, 'home'), work: join(root, 'work') };
};

test('what a command names below /tmp is told with its folder, unless that holds what is hidden', () => {
  const { root, mine, home } = open();
  expect(namedBelowTmp(`X=1 ${mine}/agent --in "${mine}/beside"`, [home])).toEqual([mine]);
  expect(namedBelowTmp(`sh -c '${root}/agent'`, [home])).toEqual([join(root, 'agent')]);
});

test('nothing hidden is told, no link, no folder, nothing that is not there, nothing outside of /tmp', () => {
  const { root, mine, secret, home } = open();
  const command = `cat ${secret} ${mine}/link ${mine} ${mine}/missing ${mine}/../home/secret /etc/hosts ${root}`;
  expect(namedBelowTmp(command, [home])).toEqual([]);
});

test.runIf(usable)('in the sandbox a program of /tmp is found, and what is hidden beside it is not', async () => {
  const { root, mine, home, work } = open();
  const start = (command: string) =>
    run({
      ...{ command, folder: work, timeoutMs: 20_000, outputBytesMax: 10_000 },
      sandbox: { writable: [], hidden: [home], readable: namedBelowTmp(command, [home]), network: false },
    });
  expect(await start(`${mine}/agent`)).toMatchObject({ exitCode: 0, output: 'what lies beside it' });
  const alone = await start(`${root}/agent`);
  expect(alone.exitCode).toBe(0);
  expect(alone.output.split('\n')).toContain('alone');
  expect(alone.output.split('\n')).not.toContain('mine');
});
