import { existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { homedir, tmpdir } from 'node:os';
import { join } from 'node:path';
import { fabricConfig, loadConfig } from '@nexus/shared/config';
import { probeSandbox, run } from '@nexus/shared/process';
import { expect, onTestFinished, test } from 'vitest';
import { leaveOut } from '../../../test/tools/machine.ts';
import { config, type WorkerConfig } from '../config.ts';
import { openFences } from './fences.ts';

const { usable, says: whatSandbox } = await probeSandbox();
leaveOut('the sandbox', usable ? null : whatSandbox);
const missing = async () => ({ usable: false as const, says: 'bwrap is not on the path', mend: 'install bubblewrap' });
const there = async () => ({ usable: true as const, says: 'by /usr/bin/bwrap' });

const settingsOf = (more: Record<string, string> = {}, place = tmpdir()): WorkerConfig => {
  const home = mkdtempSync(join(place, 'nexus-fences-'));
  onTestFinished(() => rmSync(home, { recursive: true, force: true }));
  return loadConfig({ ...fabricConfig, ...config }, { NEXUS_HOME: home, ...more });
};

test('SANDBOX_UNAVAILABLE: a worker that must have a sandbox does not serve without, and says the mend', async () => {
  const opened = openFences(settingsOf({ NEXUS_SANDBOX: 'on' }), missing);
  await expect(opened).rejects.toMatchObject({
    code: 'SANDBOX_UNAVAILABLE',
    message: expect.stringMatching(/not on the path.*install bubblewrap/),
  });
});

test('by itself a worker takes a sandbox where there is one, and tells where there is none', async () => {
  const without = await openFences(settingsOf(), missing);
  expect(without.says).toEqual({ state: 'missing', says: 'bwrap is not on the path', mend: 'install bubblewrap' });
  expect(without.agent.sandbox).toBeUndefined();
  const off = await openFences(settingsOf({ NEXUS_SANDBOX: 'off' }), there);
  expect(off).toMatchObject({ says: { state: 'off' }, agent: { limits: { processes: 512, memoryBytes: 4e9 } } });
  expect(off.agent.sandbox).toBeUndefined();
  expect((await openFences(settingsOf(), there)).says.state).toBe('on');
});

test('a login of Claude Code is hidden, wherever it lies', async () => {
  const { agent } = await openFences(settingsOf({ NEXUS_CLAUDE_FOLDER: '/of/a/person' }), there);
  expect(agent.sandbox?.hidden).toEqual(expect.arrayContaining(['/of/a/person', join(homedir(), '.claude')]));
});

test('agents may be without network, set-ups never are', async () => {
  const { agent, setUp } = await openFences(settingsOf({ NEXUS_AGENT_NETWORK: 'off' }), there);
  expect([agent.sandbox?.network, setUp.sandbox?.network]).toEqual([false, true]);
});

test('settings name more to write and to hide, from the home of the person too', async () => {
  const fences = await openFences(
    settingsOf({ NEXUS_SANDBOX_WRITE: '~/.state', NEXUS_SANDBOX_HIDE: '/srv/x,~/y' }),
    there,
  );
  expect(fences.agent.sandbox?.writable).toContain(join(homedir(), '.state'));
  expect(fences.agent.sandbox?.hidden).toEqual(expect.arrayContaining(['/srv/x', join(homedir(), 'y')]));
});

test.runIf(usable)(
  'an agent sees of the fleet’s home its clone and the caches, and no clone or hub of another',
  async () => {
    // Not below /tmp, which is hidden anyway.
    const settings = settingsOf({}, homedir());
    const { home } = settings;
    const [mine, theirs, hub] = ['workspaces/task/mine', 'workspaces/other/theirs', 'hubs/other.git'].map((path) =>
      join(home, path),
    );
    for (const folder of [mine, theirs, hub, join(home, 'caches/set-ups')])
      mkdirSync(String(folder), { recursive: true });
    writeFileSync(join(home, 'workspaces/package.json'), '{ "private": true }\n');
    writeFileSync(join(String(theirs), 'secret.txt'), 'secret');
    const { agent } = await openFences(settings);
    const reads = `find ${home} | sort; cat ${theirs}/secret.txt`;
    const command = `${reads}; touch made ${home}/caches/npm/made; touch ${home}/caches/x ${home}/x`;
    const result = await run({ command, folder: String(mine), ...agent, timeoutMs: 20_000, outputBytesMax: 100_000 });
    const seen = result.stdout.split('\n').map((path) => path.slice(home.length + 1));
    expect(seen).toEqual(expect.arrayContaining(['caches/npm', 'workspaces/package.json', 'workspaces/task/mine']));
    expect(seen.filter((path) => /^hubs|other|set-ups/.test(path))).toEqual([]);
    expect(result.output).not.toContain('secret\n');
    expect(existsSync(join(String(mine), 'made')) && existsSync(join(home, 'caches/npm/made'))).toBe(true);
    expect(existsSync(join(home, 'x')) || existsSync(join(home, 'caches/x'))).toBe(false);
  },
);
