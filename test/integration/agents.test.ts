/** Definitions of agents: given to the fleet over HTTP, read again while services run, kept while they are needed. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { foldersOf, openLiveCatalog } from '@nexus/shared/catalog';
import type { Log } from '@nexus/shared/telemetry';
import { expect, onTestFinished, test } from 'vitest';
import { openHome, runNexus } from '../tools/cli.ts';
import { eventually } from '../tools/eventually.ts';
import { beside, refusal, type Served, serve, token } from '../tools/live-gateway.ts';
import { boardHeadOf, subtaskOf } from '../tools/task-head.ts';

const definition = (id: string, says = 'You mend clocks.') =>
  `---\nname: ${id}\nagent_id: ${id}\nrole: ${id}\ndescription: Mends clocks.\ntools: file_editing\n---\n\n${says}\n`;

const follow = async ({ fabric }: Pick<Served, 'fabric'>, more: { agentsFolder?: string } = {}) => {
  const bus = await fabric.open('worker-agent');
  const warned: string[] = [];
  const log = { info: () => {}, debug: () => {}, warn: (_: object, says: string) => warned.push(says) } as never as Log;
  const catalog = await openLiveCatalog({ folders: foldersOf(more as never), bus, log, everyMs: 20 });
  onTestFinished(catalog.close);
  return { catalog, warned };
};

test('an agent that is added over one gateway is there for every gateway and every worker', async () => {
  const served = await serve();
  const { catalog } = await follow(served);
  const added = await served.client.addAgent({ source: definition('clockmaker') });
  expect(added).toMatchObject({
    ...{ agent_id: 'clockmaker', origin: 'fleet', revision: 1, changed_by: 'token:admin' },
    tools: ['Edit', 'Write'],
  });
  await eventually('a worker knows it', async () => catalog.agents.has('clockmaker'));
  expect(catalog.agentFor('clockmaker').persona).toBe('You mend clocks.');
  const other = await beside(served.fabric);
  expect((await other.agent('clockmaker')).source).toBe(definition('clockmaker'));
  expect((await other.agents()).agents.map(({ agent_id }) => agent_id)).toContain('clockmaker');
});

test('an update counts only for the revision that its writer knew', async () => {
  const { client } = await serve();
  await client.addAgent({ source: definition('clockmaker') });
  expect((await refusal(client.addAgent({ source: definition('clockmaker') }))).code).toBe('AGENT_EXISTS');
  const updated = await client.updateAgent('clockmaker', { source: definition('clockmaker', 'Better.'), revision: 1 });
  expect(updated.revision).toBe(2);
  const late = await refusal(
    client.updateAgent('clockmaker', { source: definition('clockmaker', 'No.'), revision: 1 }),
  );
  expect(late).toMatchObject({ status: 409, code: 'AGENT_MOVED' });
  expect((await refusal(client.removeAgent('clockmaker', { revision: 1 }))).code).toBe('AGENT_MOVED');
  expect((await client.agent('clockmaker')).source).toContain('Better.');
  expect((await refusal(client.updateAgent('watchmaker', { source: definition('watchmaker') }))).code).toBe(
    'AGENT_UNKNOWN',
  );
});

test('what stands in place of a built-in agent is removed again, a built-in one never', async () => {
  const { client } = await serve();
  const changed = (await client.agent('scout')).source.replace('You are the scout.', 'You are the pathfinder.');
  expect(await client.updateAgent('scout', { source: changed })).toMatchObject({ origin: 'fleet', role: 'scout' });
  expect(await client.removeAgent('scout')).toMatchObject({ status: 'removed', stands: 'built_in', orphaned: [] });
  expect((await client.agent('scout')).source).toContain('You are the scout.');
  expect(await refusal(client.removeAgent('scout'))).toMatchObject({ status: 409, code: 'AGENT_GIVEN' });
  expect((await refusal(client.removeAgent('nobody'))).code).toBe('AGENT_UNKNOWN');
});

test('an agent that open subtasks are planned for is removed by force alone', async () => {
  const { client, fabric, bus } = await serve();
  await client.addAgent({ source: definition('clockmaker') });
  const part = subtaskOf('mend', { agent_id: 'clockmaker', state: 'ready' });
  const head = JSON.stringify(boardHeadOf('a-task'));
  await fabric.redis.zadd(bus.keys.openTasks, 1, 'a-task');
  await fabric.redis.hset(bus.keys.board('a-task'), { revision: 1, head, 's:mend': JSON.stringify(part) });
  const refused = await refusal(client.removeAgent('clockmaker'));
  expect(refused).toMatchObject({ status: 409, code: 'AGENT_IN_USE', detail: expect.stringContaining('a-task/mend') });
  expect(refused.detail).toContain('By force others take over.');
  const removed = { status: 'removed', stands: null, orphaned: [] };
  expect(await client.removeAgent('clockmaker', { force: true })).toMatchObject(removed);

  await client.addAgent({ source: definition('clockmaker') });
  const alone = JSON.stringify({ ...part, role: 'clockmaker' });
  await fabric.redis.hset(bus.keys.board('a-task'), { 's:mend': alone });
  const orphan = 'Nobody else has the role of a-task/mend: by force that waits for a person.';
  expect((await refusal(client.removeAgent('clockmaker'))).detail).toContain(orphan);
  const left = await client.removeAgent('clockmaker', { force: true });
  expect(left).toMatchObject({ ...removed, orphaned: ['a-task/mend'] });
});

test('a definition that does not hold is refused with its line, and nothing is stored', async () => {
  const { client } = await serve({ NEXUS_DEFINITIONS_MAX: '1', NEXUS_DEFINITION_BYTES_MAX: '2000' });
  const broken = definition('clockmaker').replace('file_editing', 'Hammer');
  const refused = await refusal(client.addAgent({ source: broken }));
  expect(refused).toMatchObject({ status: 422, code: 'DEFINITION_INVALID' });
  expect(refused.detail).toContain('line 6: tools: there is no tool "Hammer"');
  expect(await client.checkAgent({ source: broken })).toMatchObject({ valid: false, agent_id: null });
  expect(await client.checkAgent({ source: definition('clockmaker') })).toMatchObject({ valid: true, problem: null });
  expect((await refusal(client.addAgent({ source: 'You mend.' }))).detail).toContain(
    'line 1: there is no front matter',
  );
  expect((await refusal(client.addAgent({ source: definition('big', 'x'.repeat(2000)) }))).detail).toContain('2000');
  const twin = definition('other').replace('name: other', 'name: Scout');
  expect((await refusal(client.addAgent({ source: twin }))).detail).toContain('is the name of scout');
  await client.addAgent({ source: definition('clockmaker') });
  expect(await refusal(client.addAgent({ source: definition('second') }))).toMatchObject({ code: 'AGENTS_FULL' });
});

test('a profile from elsewhere is taken as it is, and what was left out is said', async () => {
  const { client } = await serve();
  const profile = {
    ...{ agent_id: 'gamma', name: 'Gamma', role: 'tester' },
    claude_configuration: { system_prompt: 'You are Gamma.', tools_enabled: ['test_runners', 'telepathy'] },
  };
  const added = await client.addAgent({ profile });
  expect(added).toMatchObject({ agent_id: 'gamma', tools: ['Bash'], role: 'tester' });
  expect(added.notices).toEqual([expect.stringContaining('telepathy')]);
});

test('a file that is written, broken and mended in a folder is followed; a broken one changes nothing', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'nexus-agents-'));
  onTestFinished(() => rmSync(folder, { recursive: true, force: true }));
  const served = await serve({}, { worker: false });
  const { catalog, warned } = await follow(served, { agentsFolder: folder });
  const file = join(folder, 'clockmaker.md');
  writeFileSync(file, definition('clockmaker'));
  await eventually('it is there', async () => catalog.agents.has('clockmaker'));
  writeFileSync(file, definition('clockmaker').replace('role:', 'rule:'));
  await eventually('it is told', async () => warned.length > 0);
  expect(catalog.agentFor('clockmaker').persona).toBe('You mend clocks.');
  // Whoever misses what lies beside it is told which file is in the way.
  expect(() => catalog.workflow('box')).toThrow(`There is no workflow "box".`);
  expect(() => catalog.workflow('box')).toThrow(`not read, because of this: ${file}`);
  expect(() => catalog.agentFor('box')).toThrow(`not read, because of this: ${file}`);
  writeFileSync(file, definition('clockmaker', 'Mended.'));
  await eventually('it is read again', async () => catalog.agentFor('clockmaker').persona === 'Mended.');
  expect(() => catalog.workflow('box')).not.toThrow('because of this');
  rmSync(file);
  await eventually('it is gone', async () => !catalog.agents.has('clockmaker'));
  expect(warned).toEqual(['Agents and workflows stay as they were']);
});

test('what a service cannot read any more the API and `nexus doctor` tell, until it is mended', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'nexus-agents-'));
  onTestFinished(() => rmSync(folder, { recursive: true, force: true }));
  const served = await serve({}, { worker: false });
  const { catalog } = await follow(served, { agentsFolder: folder });
  writeFileSync(join(folder, 'clockmaker.md'), definition('clockmaker'));
  await eventually('it is there', async () => catalog.agents.has('clockmaker'));
  const examine = async () => {
    const env = { REDIS_URL: served.fabric.config.redisUrl, NEXUS_TOKEN: token };
    const { out } = await runNexus(openHome(), ['doctor', '--json'], served.url, { env });
    const { findings } = JSON.parse(out) as { findings: { name: string; says: string }[] };
    return findings.find(({ name }) => name === 'agents in use')?.says;
  };
  expect(await examine()).toBeUndefined();
  writeFileSync(join(folder, 'twin.md'), definition('clockmaker'));
  const says = await eventually('doctor tells it', examine);
  expect(says).toMatch(/^stay as they were \(worker-agent\): .*clockmaker/s);
  const told = (await served.client.system()).instances.find(({ service }) => service === 'worker-agent');
  expect(told?.agents_unread).toContain('clockmaker');
  rmSync(join(folder, 'twin.md'));
  await eventually('it is over', async () => (await examine()) === undefined);
});
