import { existsSync, mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { answering, openHome, runNexus } from '../../../test/tools/cli.ts';
import { exitCodes } from '../exit-codes.ts';
import { type FleetState, writeFleet } from '../fleet-state.ts';
import { identityOf } from '../process-identity.ts';
import { differences } from './up.ts';

const one = (name: string) => ({ name, pid: 1, identity: 'x', port: 8080, log: '/log' });
const state: FleetState = {
  version: 1,
  started_at: '2027-01-01T00:00:00Z',
  url: 'http://127.0.0.1:8080',
  prefix: '{nexus}',
  started_with: { agent_command: 'my-agent', rehearsal: false },
  processes: [one('gateway'), one('worker-agent'), one('worker-agent-2')],
};

test('what a running fleet was asked for and is not is named; the same, or nothing, is no difference', () => {
  expect(differences(state, {})).toEqual([]);
  expect(differences(state, { workers: 2, port: 8080, agentCommand: 'my-agent' })).toEqual([]);
  expect(differences(state, { port: 0 })).toEqual([]);
  expect(differences(state, { workers: 3, port: 9090, agentCommand: 'other', rehearsal: true })).toEqual([
    'it has 2 workers, not 3',
    'its gateway is on port 8080, not 9090',
    'it was started with another agent command',
    'it was started without --rehearsal',
  ]);
});

test('a word that stands from before is told, with what lifts it', async () => {
  const control = {
    state: 'stopped',
    epoch: 7,
    scopes: { 'task:shop-a1': 'paused' },
    said: {},
    by: 'cli:ann',
    at: new Date().toISOString(),
  };
  const { url } = await answering({ 'GET /api/control': { ...control, instances: [] } });
  const home = openHome();
  const alive = { ...one('gateway'), pid: process.pid, identity: identityOf(process.pid) ?? '' };
  writeFleet(home, { ...state, url, processes: [alive] });
  const { code, out } = await runNexus(home, ['up'], url);
  expect(code).toBe(0);
  expect(out).toMatch(/The fleet is stopped \(epoch 7\) by cli:ann, .*ago\n {2}nexus resume --all lets it go on\n/);
  expect(out).toContain('task:shop-a1 is paused: nexus resume --task shop-a1');
});

test('HOME_BELOW_MODULES: no fleet starts in a home below a node_modules, and `down` still looks there', async () => {
  const above = openHome();
  const home = join(above, 'state');
  mkdirSync(join(above, 'node_modules'));
  const { code, err } = await runNexus(home, ['up'], 'http://127.0.0.1:1');
  expect(code).toBe(exitCodes.config.code);
  expect(err).toContain(`The home ${home} lies below`);
  expect(err).toContain('Set NEXUS_HOME');
  expect(existsSync(home)).toBe(false);
  expect(await runNexus(home, ['down'], 'http://127.0.0.1:1')).toMatchObject({
    code: 0,
    out: expect.stringContaining(`No fleet was started here (${home})`),
  });
});
