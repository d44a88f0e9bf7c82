import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, onTestFinished, test, vi } from 'vitest';
import { answering, gateway, openHome, runNexus } from '../../test/tools/cli.ts';
import { lookAtAgents, lookAtGiven } from './doctor-agents.ts';

const source = '---\nname: clockmaker\ndescription: Mends clocks.\n---\n\nYou mend clocks.\n';
const detail = { agent_id: 'clockmaker', source, origin: 'fleet', revision: 1, notices: [] };
const profile = { agent_id: 'gamma', name: 'Gamma', claude_configuration: { system_prompt: 'You are Gamma.' } };
const nowhere = 'http://127.0.0.1:9';

const put = (name: string, text: string): { home: string; file: string } => {
  const home = openHome();
  const file = join(home, name);
  writeFileSync(file, text);
  return { home, file };
};

test('agents add, show, update and rm say what the fleet uses from now on', async () => {
  const { home, file } = put('clockmaker.md', source);
  const { url, calls } = await answering({
    'POST /api/agents': detail,
    'GET /api/agents/clockmaker': detail,
    'PUT /api/agents/clockmaker': detail,
    'DELETE /api/agents/clockmaker': { agent_id: 'clockmaker', status: 'removed', stands: 'built_in' },
  });
  const added = await runNexus(home, ['agents', 'add', file], url);
  expect(added).toMatchObject({ code: 0, out: expect.stringContaining('clockmaker is added, for the whole fleet') });
  expect(calls[0]?.body).toEqual({ source });
  expect((await runNexus(home, ['agents', 'show', 'clockmaker'], url)).out).toBe(source);
  const updated = await runNexus(home, ['agents', 'update', file, '--revision', '1'], url);
  expect(updated.out).toContain('clockmaker is changed');
  const removed = await runNexus(home, ['agents', 'rm', 'clockmaker', '--force'], url);
  expect(removed.out).toContain('The built-in one stands again.');
  expect(calls.at(-1)?.path).toBe('/api/agents/clockmaker?force=true');
});

test('agents validate asks no fleet, names every mistake with its line, and ends with 3', async () => {
  const { home, file } = put('clockmaker.md', source);
  const broken = join(home, 'broken.md');
  writeFileSync(broken, source.replace('name:', 'nmae:'));
  const plain = join(home, 'plain.md');
  writeFileSync(plain, 'You mend.');
  const { code, out } = await runNexus(
    home,
    ['agents', 'validate', file, broken, plain, join(home, 'none.md')],
    nowhere,
  );
  expect(code).toBe(3);
  expect(out).toContain(`${file}: clockmaker`);
  expect(out).toMatch(
    /broken\.md is not a valid definition: line 1: name: is missing; line 2: nmae: there is no such key/,
  );
  expect(out).toMatch(/plain\.md is not a valid definition: line 1: there is no front matter/);
  expect(out).toMatch(/none\.md cannot be read/);
  expect((await runNexus(home, ['agents', 'validate', file, '--json'], nowhere)).code).toBe(0);
});

test('agents validate says what the fleet will not be given, by the setting of the gateway', async () => {
  const { home, file } = put('clockmaker.md', `${source}${'You mend. '.repeat(200)}`);
  expect((await runNexus(home, ['agents', 'validate', file], nowhere)).out).not.toContain('BYTES');
  vi.stubEnv('NEXUS_DEFINITION_BYTES_MAX', '1500');
  onTestFinished(() => void vi.unstubAllEnvs());
  const checked = await runNexus(home, ['agents', 'validate', file], nowhere);
  expect(checked.code).toBe(0);
  expect(checked.out).toMatch(/The fleet is not given it: it has 2\d+ bytes, and NEXUS_DEFINITION_BYTES_MAX is 1500/);
});

test('agents import writes definitions into a folder, and overwrites none unasked', async () => {
  const { home, file } = put('profiles.json', JSON.stringify([profile]));
  const words = ['agents', 'import', file, '--to', join(home, 'agents')];
  expect((await runNexus(home, words, nowhere)).code).toBe(0);
  expect(readFileSync(join(home, 'agents', 'gamma.md'), 'utf8')).toContain('You are Gamma.');
  const again = await runNexus(home, words, nowhere);
  expect(again).toMatchObject({
    code: 3,
    err: expect.stringMatching(/Already in .*agents: gamma\n.*\n.*--replace overwrites/),
  });
  expect((await runNexus(home, [...words, '--replace'], nowhere)).code).toBe(0);
});

test('agents import gives the fleet what a profile makes, and replaces what is there if asked to', async () => {
  const { home, file } = put(
    'profile.yaml',
    'agent: {id: gamma, name: Gamma, claude_code: {system_prompt: You mend.}}',
  );
  const list = { agents: [] as { agent_id: string }[] };
  const { url, calls } = await answering({
    'POST /api/agents': detail,
    'GET /api/agents': list,
    'PUT /api/agents/gamma': detail,
  });
  expect((await runNexus(home, ['agents', 'import', file], url)).out).toContain('gamma: the fleet');
  list.agents.push({ agent_id: 'gamma' });
  const refused = await runNexus(home, ['agents', 'import', file], url);
  expect(refused).toMatchObject({ code: 3, err: expect.stringContaining('Already in the fleet: gamma') });
  await runNexus(home, ['agents', 'import', file, '--replace'], url);
  expect(calls.map(({ method, path }) => `${method} ${path}`)).toEqual([
    'GET /api/agents',
    'POST /api/agents',
    'GET /api/agents',
    'GET /api/agents',
    'PUT /api/agents/gamma',
  ]);
});

test('answer hands over what a person says, and what was asked is listed where tasks wait', async () => {
  const home = openHome();
  const asked = { id: 'q1', subtask_id: 'build', attempt: 1, agent_id: 'builder', text: 'Which format?' };
  const question = { ...asked, asked_at: '2027-01-01T12:30:00Z', waits: false, answer: null };
  const task = { task_id: 'shop-a1', title: 'Shop', status: 'in_progress', created_at: '2027-01-01T12:00:00Z' };
  const { url, calls } = await answering({
    'POST /api/tasks/shop-a1/answer': { task_id: 'shop-a1', status: 'answered', questions: ['q1'] },
    'GET /api/tasks': { tasks: [{ ...task, waiting: [], questions: [question] }], next_offset: null },
  });
  const said = await runNexus(home, ['answer', 'shop-a1', 'JSON', '--question', 'q1'], url);
  expect(said).toMatchObject({ code: 0, out: expect.stringContaining('Answered: q1 of shop-a1') });
  expect(calls[0]?.body).toEqual({ answer: 'JSON', question_id: 'q1' });
  const { out } = await runNexus(home, ['tasks', '--waiting'], url);
  expect(out).toContain('shop-a1: builder asks in build (q1, 2027-01-01 12:30 UTC; its work goes on):');
  expect(out).toContain('answer shop-a1 --question q1 "…"');
});

test('doctor reads the agents of this machine, and names the file and the line that would stop a fleet', async () => {
  expect(await lookAtAgents({})).toMatchObject({ name: 'agents', state: 'ok' });
  const { home } = put('broken.md', source.replace('name:', 'nmae:'));
  const found = await lookAtAgents({ NEXUS_AGENTS_FOLDER: home });
  expect(found).toMatchObject({
    state: 'fail',
    says: expect.stringMatching(/broken\.md .*line 2: nmae: .*did you mean name\?/),
  });
  const { home: here } = put('clockmaker.md', source);
  writeFileSync(join(here, 'twin.md'), source);
  expect(await lookAtAgents({ NEXUS_AGENTS_FOLDER: here })).toMatchObject({
    ...{ state: 'fail', mend: 'rename one of the two', says: expect.stringContaining('is defined in') },
  });
  expect(await lookAtAgents({ NEXUS_AGENTS_FOLDER: join(home, 'none') })).toMatchObject({
    state: 'fail',
    mend: 'make that folder, or correct the setting',
  });
});

const oldModel = source.replace('---\n\n', 'model: claude-3-opus-20240229\n---\n\n');
const retired = 'model: "claude-3-opus-20240229" is retired; opus takes its place';

test('a retired model is refused with its line and what takes its place, before an attempt meets it', async () => {
  const { home, file } = put('old.md', oldModel);
  const checked = await runNexus(home, ['agents', 'validate', file], nowhere);
  expect(checked).toMatchObject({ code: 3, out: expect.stringContaining(`line 4: ${retired}`) });
  const updated = await runNexus(home, ['agents', 'update', file], nowhere);
  expect(updated).toMatchObject({ code: 3, err: expect.stringContaining(`line 4: ${retired}`) });
  writeFileSync(file, oldModel.replace('---\n\n', 'runtime: openai\n---\n\n'));
  expect((await runNexus(home, ['agents', 'validate', file], nowhere)).code).toBe(0);
});

test('doctor finds a retired model in a folder, and in what the fleet was given', async () => {
  const { home, file } = put('old.md', oldModel);
  expect(await lookAtAgents({ NEXUS_AGENTS_FOLDER: home })).toMatchObject({
    state: 'warn',
    says: `${file}: ${retired}`,
  });
  const given = { ...detail, agent_id: 'old', source: oldModel };
  const client = {
    agents: async () => ({ agents: [{ agent_id: 'clockmaker' }, { agent_id: 'old' }, { agent_id: 'left' }] }),
    agent: async (id: string) => {
      if (id === 'left') throw new Error('It is gone.');
      return id === 'old' ? given : detail;
    },
  } as unknown as Parameters<typeof lookAtGiven>[0];
  expect(await lookAtGiven(client)).toEqual([
    { name: 'given agents', state: 'warn', says: `old: ${retired}`, mend: expect.stringContaining('agents update') },
  ]);
});

test('agents import gives the fleet nothing of a list that holds one agent twice', async () => {
  const { home, file } = put('profiles.json', JSON.stringify([profile, { ...profile, name: 'Another' }]));
  const { url, calls } = await answering({ 'GET /api/agents': { agents: [] }, 'POST /api/agents': detail });
  for (const more of [[], ['--replace'], ['--to', join(home, 'agents')]]) {
    const refused = await runNexus(home, ['agents', 'import', file, ...more], url);
    expect(refused).toMatchObject({ code: 3, out: '' });
    expect(refused.err).toContain(`profile 2: the agent "gamma" is defined in ${file}, profile 1 too`);
    expect(refused.err).toContain('Nothing was imported.');
  }
  expect(calls).toEqual([]);
});

test('agents import that is refused midway says what went in, with its notices, and what did not', async () => {
  const second = { ...profile, agent_id: 'delta', name: 'Delta' };
  const { home, file } = put('profiles.json', JSON.stringify([{ agent_id: 'gamma', name: 'Gamma' }, second]));
  const { url } = await gateway(({ method, body }, response) => {
    const full = JSON.stringify(body ?? null).includes('delta');
    if (full) response.statusCode = 409;
    const answer = method === 'GET' ? { agents: [] } : detail;
    response.end(JSON.stringify(full ? { code: 'AGENTS_FULL', detail: 'The fleet is full.' } : answer));
  });
  const { code, out, err } = await runNexus(home, ['agents', 'import', file], url);
  expect(code).toBe(3);
  expect(out).toMatch(/^gamma: the fleet\n {2}The profile has no system_prompt/);
  expect(err).toContain('delta: The fleet is full.');
  expect(err).toContain('Imported before it: gamma; it and those after it were not.');
});

test('two definitions of one name are found by validate, and doctor says what mends them', async () => {
  const { home, file } = put('a.md', source);
  writeFileSync(join(home, 'b.md'), source);
  const namesake = source.replace('name: clockmaker', 'name: Clockmaker\nagent_id: other');
  writeFileSync(join(home, 'c.md'), namesake);
  const files = ['a.md', 'b.md', 'c.md'].map((name) => join(home, name));
  const { code, out } = await runNexus(home, ['agents', 'validate', ...files], nowhere);
  expect(code).toBe(3);
  expect(out).toContain(`${files[1]}: the agent "clockmaker" is defined in ${file} too: rename one of the two`);
  expect(out).toContain(`${files[2]}: the name "Clockmaker" is used in ${file} too: rename one of the two`);
  expect((await runNexus(home, ['agents', 'validate', file, file], nowhere)).code).toBe(0);
  const found = await lookAtAgents({ NEXUS_AGENTS_FOLDER: home });
  expect(found).toMatchObject({ state: 'fail', mend: 'rename one of the two' });
});

test('where an id is made of a name with letters beside a to z, it is said which one, refused or not', async () => {
  const { home, file } = put('z.md', source.replace('name: clockmaker', 'name: Żółć Reviewer'));
  const says = 'Of "Żółć Reviewer" only a to z, digits, - and _ make the agent_id "reviewer"';
  const checked = await runNexus(home, ['agents', 'validate', file], nowhere);
  expect(checked).toMatchObject({ code: 0, out: expect.stringContaining(says) });
  const { url } = await gateway((_, response) => {
    response.statusCode = 409;
    response.end(JSON.stringify({ code: 'AGENT_EXISTS', detail: 'The agent "reviewer" is there.' }));
  });
  expect(await runNexus(home, ['agents', 'add', file], url)).toMatchObject({
    code: 3,
    err: expect.stringMatching(/^Of "Żółć Reviewer" only a to z.*\n.*The agent "reviewer" is there/),
  });
  writeFileSync(file, source);
  expect((await runNexus(home, ['agents', 'validate', file], nowhere)).out).toBe(`${file}: clockmaker\n`);
});
