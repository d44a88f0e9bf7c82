/** `nexus dlq` as a person types it. */
import { chmodSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { answering, gateway, openHome, runNexus } from '../../test/tools/cli.ts';
import { exitCodes } from './exit-codes.ts';
import { place } from './verbs/dlq-edit.ts';

const home = openHome;
const letter = {
  id: '0198c1d2',
  at: '2027-01-01T00:00:00Z',
  age_seconds: 3725,
  code: 'MESSAGE_INVALID',
  says: 'The payload does not fit.',
  service: 'orchestrator',
  type: 'deletion.requested',
  task_id: null,
  attempts: 2,
  instance_id: 'orchestrator-x',
  trace_id: 'a'.repeat(32),
  causes: ['ZodError: request is missing'],
  tries: [
    { attempt: 1, at: 'then', instance_id: 'orchestrator-w', code: 'UNEXPECTED', says: 'no\nway' },
    { attempt: 2, at: 'later', instance_id: 'orchestrator-x', code: 'MESSAGE_INVALID', says: 'x' },
  ],
  operator: 'Compare it with the page.',
  replayable: false,
  why_not: 'Dead letter 0198c1d2 cannot be replayed as it is: wrong.',
  mendable: true,
  edited: [{ at: '2027-01-02T00:00:00Z', by: 'cli:ann' }],
  original: { type: 'deletion.requested', payload: { was: 'this' } },
  envelope: {
    ...{ type: 'deletion.requested', priority: 'NORMAL', actor: 'x\u009b31m' },
    payload: { task_id: 7, deep: { list: [1] } },
  },
};
const one = 'GET /api/dead-letters/0198c1d2';

test('a dead letter is readable: cause first, what to do, each try, the message last', async () => {
  const { url } = await answering({ [one]: letter });
  const { out, code } = await runNexus(home(), ['dlq', 'show', '0198c1d2'], url);
  expect(code).toBe(0);
  expect(out.split('\n')[0]).toBe('MESSAGE_INVALID: The payload does not fit.');
  for (const said of [
    'Compare it with the page.',
    'ZodError: request is missing',
    '1 h 02 min ago',
    'orchestrator-w  UNEXPECTED: no way',
    'edited   2027-01-02T00:00:00Z by cli:ann',
    '"was": "this"',
    '"task_id": 7',
    '"actor": "x\\u009b31m"',
    'cannot be replayed as it is',
    'nexus dlq edit 0198c1d2     mends it',
  ]) {
    expect(out).toContain(said);
  }
  expect(out).not.toContain('dlq replay');
});

test('an edit is offered only where it helps', async () => {
  const { url } = await answering({ [one]: { ...letter, mendable: false } });
  const { out } = await runNexus(home(), ['dlq', 'show', '0198c1d2'], url);
  expect(out).not.toContain('dlq edit');
  expect(out).toContain('nexus dlq drop 0198c1d2');
});

test('what a letter died of is said once, though its cause, its tries and the refusal repeat it', async () => {
  const says = 'request: expected a string';
  const { url } = await answering({
    [one]: {
      ...letter,
      says,
      causes: [`MESSAGE_INVALID: ${says}`, 'ZodError: deeper'],
      tries: [{ ...letter.tries[1], says }],
      why_not: `Dead letter 0198c1d2 cannot be replayed as it is: ${says}`,
    },
  });
  const { out } = await runNexus(home(), ['dlq', 'show', '0198c1d2'], url);
  expect(out.split(says)).toHaveLength(2);
  for (const said of ['ZodError: deeper', 'orchestrator-x  MESSAGE_INVALID', 'cannot be replayed as it is.']) {
    expect(out).toContain(said);
  }
});

test('letters are listed with their age, and filters are sent as they were given', async () => {
  const { url, calls } = await answering({
    'GET /api/dead-letters': { dead_letters: [letter], total: 3, next_offset: 1 },
  });
  const words = ['--code', 'retries_exhausted', '--older-than', '1h', '--task', 'shop-a1', '--limit', '1'];
  const { out } = await runNexus(home(), ['dlq', 'ls', ...words], url);
  expect(out).toMatch(/LETTER\s+AGE\s+SERVICE\s+TYPE\s+TASK\s+TRIES\s+CODE/);
  expect(out).toMatch(/0198c1d2 {2}1 h 02 min {2}orchestrator/);
  expect(out).toContain('… of 3');
  expect(calls[0]?.path).toBe('/api/dead-letters?code=RETRIES_EXHAUSTED&task=shop-a1&older_than=1h&limit=1');
  const none = await answering({ 'GET /api/dead-letters': { dead_letters: [], total: 0, next_offset: null } });
  expect((await runNexus(home(), ['dlq', 'ls'], none.url)).out).toBe('No dead letters.\n');
  expect((await runNexus(home(), ['dlq', 'ls', '--code', 'x'], none.url)).out).toBe('No dead letter fits.\n');
});

test('a letter is found by the beginning of its id, and only by one that no other shares', async () => {
  const ids = ['0198aa', '0198ab', '02', '03ab'];
  const { url, calls } = await gateway(({ method, path }, response) => {
    const id = path.split('/')[3] ?? '';
    if (path.includes('?')) {
      response.end(JSON.stringify({ dead_letters: ids.map((id) => ({ id })), total: 3, next_offset: null }));
    } else if (ids.includes(id)) response.end(JSON.stringify({ id, status: method === 'GET' ? '' : 'replayed' }));
    else {
      const decided = id.startsWith('03');
      response.statusCode = decided ? 409 : 404;
      const detail = decided ? 'Dead letter 03aa was dropped already.' : `There is no dead letter ${id}.`;
      response.end(JSON.stringify({ code: decided ? 'LETTER_DECIDED' : 'LETTER_UNKNOWN', detail }));
    }
  });
  const dlq = (...words: string[]) => runNexus(home(), ['dlq', ...words], url);
  expect((await dlq('replay', '0198ab')).code).toBe(0);
  expect((await dlq('replay', '0')).err).toContain('0198aa');
  expect((await dlq('drop', '07')).err).toMatch(/There is no dead letter 07\.\n.*`.*nexus dlq ls` lists them\./);
  expect((await dlq('drop', '03aa')).err).toContain('Dead letter 03aa was dropped already.');
  expect(calls.filter(({ method }) => method !== 'GET').map(({ path }) => path)).toEqual([
    '/api/dead-letters/0198ab/replay',
  ]);
  // Another letter that began so was decided; this one is there.
  expect((await dlq('drop', '03')).out).toContain('03ab is gone.');
  expect((await dlq('drop', '02')).out).toContain('02 is gone.');
  const some = await dlq('drop', '02', '0198aa', '07');
  expect(some.code).toBe(exitCodes.refused.code);
  expect(some.out).toBe('02 is gone.\n0198aa is gone.\nrefused: 07: LETTER_UNKNOWN: There is no dead letter 07.\n');
});

const swept = {
  status: 'replayed',
  matched: 5,
  done: ['a', 'b'],
  refused: [{ id: 'c', code: 'LETTER_LATE', says: 'Dead letter c cannot be replayed any more: task x is completed.' }],
  refused_count: 1,
  left: 2,
};
const many = {
  'GET /api/dead-letters': { dead_letters: [letter], total: 5, next_offset: 1 },
  'POST /api/dead-letters/replay': swept,
  'POST /api/dead-letters/drop': { ...swept, status: 'dropped', refused: [], refused_count: 0, left: 0 },
};

test('many are decided after a yes at the terminal; the summary tells what was done, refused and left', async () => {
  const { url, calls } = await answering(many);
  const asked: string[] = [];
  const ask = async (question: string) => {
    asked.push(question);
    return 'y';
  };
  const words = ['dlq', 'replay', '--code', 'POISON', '--limit', '4'];
  const { code, out } = await runNexus(home(), words, url, { ask });
  expect(asked).toEqual(['Replay 4 dead letters of 5 (code POISON)? [y/N] ']);
  expect(calls.at(-1)).toMatchObject({ method: 'POST', body: { filter: { code: 'POISON' }, limit: 4 } });
  expect(code).toBe(exitCodes.refused.code);
  expect(out).toContain('replayed 2 of 5 dead letters\nrefused 1:\n');
  expect(out).toContain('c  LETTER_LATE  Dead letter c cannot be replayed any more: task x is completed.');
  expect(out).toContain('left 2, beyond the limit');
});

test('without a yes nothing is done: neither after a no, nor where nobody can be asked', async () => {
  const { url, calls } = await answering(many);
  const words = ['dlq', 'drop', '--all'];
  const declined = await runNexus(home(), words, url, { ask: async () => '' });
  expect([declined.code, declined.err]).toEqual([exitCodes.refused.code, expect.stringContaining('Nothing was done')]);
  const alone = await runNexus(home(), words, url);
  expect([alone.code, alone.err]).toEqual([exitCodes.usage.code, expect.stringContaining('--yes')]);
  expect(calls.filter(({ method }) => method === 'POST')).toEqual([]);
  expect((await runNexus(home(), [...words, '--yes'], url)).code).toBe(0);
  expect(calls.at(-1)).toMatchObject({ path: '/api/dead-letters/drop', body: { filter: {}, all: true } });
});

for (const words of [
  ['replay'],
  ['drop'],
  ['replay', '01', '--all'],
  ['replay', '01', '--code', 'X'],
  ['replay', '--limit', '0'],
  ['edit'],
  ['edit', '0198c1d2'],
  ['edit', '0198c1d2', '--set', 'novalue'],
  ['edit', '0198c1d2', '--set', 'task_id.deep=1'],
  ['edit', '0198c1d2', '--set', '__proto__.x=1'],
  ['edit', '0198c1d2', '--file', '/does/not/exist'],
  ['edit', '0198c1d2', '--set', 'a=1', '--file', 'x'],
]) {
  test(`\`nexus dlq ${words.join(' ')}\` is a mistake in the command line, and nothing is changed`, async () => {
    const { url, calls } = await answering({ [one]: letter });
    const { code, err } = await runNexus(home(), ['dlq', ...words], url);
    expect(code).toBe(exitCodes.usage.code);
    expect(err).toMatch(/^nexus: /);
    expect(calls.filter(({ method }) => method !== 'GET')).toEqual([]);
  });
}

test('an edit sets and takes away fields by path, as JSON where it is some', async () => {
  const { url, calls } = await answering({
    [one]: letter,
    'PATCH /api/dead-letters/0198c1d2': { ...letter, replayable: true },
  });
  const words = [
    '--set',
    'task_id=shop-a1',
    '--set',
    'deep.list[1]=true',
    '--unset',
    'deep.list[0]',
    '--priority',
    'high',
  ];
  const { out } = await runNexus(home(), ['dlq', 'edit', '0198c1d2', ...words], url);
  expect(calls.at(-1)?.body).toEqual({
    priority: 'high',
    payload: { task_id: 'shop-a1', deep: { list: [true] } },
  });
  expect(out).toContain('0198c1d2 is changed: deletion.requested to orchestrator.');
  expect(out).toContain('nexus dlq replay 0198c1d2');
  const made = {};
  place(made, 'a[0].b', 1);
  expect(made).toEqual({ a: [{ b: 1 }] });
});

test('an editor gets the message; what does not fit is told and may be mended there', async () => {
  let tries = 0;
  const { url, calls } = await gateway(({ method }, response) => {
    if (method === 'PATCH' && tries++ === 0) {
      response.statusCode = 422;
      const problems = [
        { field: 'payload.task_id', says: 'must be text' },
        { field: 'payload.deep', says: 'is not known here' },
      ];
      response.end(JSON.stringify({ code: 'LETTER_EDIT_INVALID', detail: 'It does not fit.', problems }));
    } else response.end(JSON.stringify(letter));
  });
  const folder = home();
  const editor = join(folder, 'my editor.sh');
  const seen = join(folder, 'seen');
  writeFileSync(editor, `#!/bin/sh\ncat "$1" >> "${seen}"\nsed -i 's/: 7/: 8/; s/: 8,/: 9,/' "$1"\n`);
  chmodSync(editor, 0o755);
  const ask = async () => '';
  const env = { EDITOR: `'${editor}'` };
  const { code, err } = await runNexus(folder, ['dlq', 'edit', '0198c1d2'], url, { ask, env });
  expect(code).toBe(0);
  expect(err).toContain('It does not fit.\n  payload.task_id: must be text\n  payload.deep: is not known here');
  expect(JSON.parse(readFileSync(seen, 'utf8').split('\n}\n')[0]?.concat('}') ?? '')).toMatchObject({
    type: 'deletion.requested',
    priority: 'NORMAL',
    payload: { task_id: 7 },
  });
  expect(calls.filter(({ method }) => method === 'PATCH')).toHaveLength(2);
  const same = await runNexus(folder, ['dlq', 'edit', '0198c1d2'], url, { ask, env: { EDITOR: 'true' } });
  expect(same.out).toBe('Nothing was changed.\n');
  expect(calls.filter(({ method }) => method === 'PATCH')).toHaveLength(2);
});
