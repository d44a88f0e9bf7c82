import { mkdtemp, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { memoirOf, openMemoir } from './memoir.ts';

let home: string;
beforeEach(async () => {
  home = await mkdtemp(join(tmpdir(), 'nexus-memoir-'));
});
afterEach(() => rm(home, { recursive: true, force: true }));

const begins = [
  { role: 'system', content: 'The rules.' },
  { role: 'user', content: 'The task.' },
];
const asks = (...ids: string[]) => ({
  role: 'assistant',
  content: '',
  calls: ids.map((id) => ({ id, tool: 'run', input: '{}' })),
});
const answers = (id: string) => ({ role: 'tool', id, content: 'done' });
const open = async (messages: unknown[], fork = false) => {
  const transcript = join(home, 'transcript.jsonl');
  await writeFile(transcript, messages.map((message) => `${JSON.stringify(message)}\n`).join(''));
  const session = '11111111-2222-4333-8444-555555555555';
  return openMemoir(home, session, { transcript, fork, usdBefore: 0 });
};

test('what was never answered is answered where it was asked, also in the middle of what was said', async () => {
  const goesOn = { role: 'user', content: 'You go on.' };
  const { before } = await open([...begins, asks('a', 'b'), answers('a'), goesOn, asks('c')]);
  expect(before.map((message) => (message.role === 'tool' ? message.id : message.role))).toEqual([
    ...['system', 'user', 'assistant', 'a', 'b', 'user', 'assistant', 'c'],
  ]);
  expect(before[4]?.content).toContain('nobody knows whether this happened');
});

test('an answer that nobody asked for is left out, and so is what lies behind a line that cannot be read', async () => {
  const { before } = await open([...begins, answers('x'), asks('a'), answers('a'), 'not a message', asks('b')]);
  expect(before.map(({ role }) => role)).toEqual(['system', 'user', 'assistant', 'tool']);
});

test('what is said is written down in order, for the eyes of its owner alone', async () => {
  const memoir = await open([...begins], true);
  memoir.keep([{ role: 'assistant', content: 'one', calls: [] }]);
  memoir.keep([{ role: 'user', content: 'two' }]);
  await memoir.close();
  const path = (await memoirOf(home, memoir.id)) ?? '';
  const lines = (await readFile(path, 'utf8')).trim().split('\n');
  expect(lines.map((line) => JSON.parse(line).content)).toEqual(['The rules.', 'The task.', 'one', 'two']);
  expect((await stat(path)).mode & 0o777).toBe(0o600);
});

test('an id that is no id of ours names no file', async () => {
  expect(await memoirOf(home, '../transcript')).toBe(null);
});
