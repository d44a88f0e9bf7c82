/** What holds of memories on any server: kept once, found by what they are about, gone with all that led to them. */
import { type Memories, type MemoryDraft, type MemoryOptions, openMemory, projectScope } from '@nexus/shared/memory';
import { silentLog } from '@nexus/shared/telemetry';
import { expect, test } from 'vitest';
import { checkMemory } from '../../chaos/check-memory.ts';
import { testFabric } from '../../tools/redis.ts';

const settings = {
  memoriesMax: 100,
  memoryHalfLife: 1000,
  memoryForgetBelow: 0.02,
  memoryWordsMax: 64,
  memoryPostingsMax: 4096,
  memoryReadMax: 2000,
  memoryTermsMax: 24,
  memoryLikeness: 0.75,
};
const at = '2026-01-02T03:04:05.000Z';
const scope = projectScope('/repos/shop');

const openOn = async (url: string | undefined, options: Partial<MemoryOptions> = {}) => {
  const fabric = testFabric(url);
  const bus = await fabric.open('gateway', { observer: true });
  const clock = { now: Date.parse(at) };
  const memories = openMemory({
    ...{ side: bus.side, keys: bus.keys, redact: (text: string) => text.replaceAll('hunter2', '(redacted)') },
    ...{ now: () => clock.now, log: silentLog(), ...options },
    settings: { ...settings, ...options.settings },
  });
  const under = `${fabric.config.prefix}:memory:`;
  const audit = async () => checkMemory(fabric.redis, fabric.config.prefix, await fabric.redis.keys(`${under}*`));
  const keysLeft = async () => (await fabric.redis.keys(`${under}*`)).map((key) => key.slice(under.length)).sort();
  return { memories, clock, keysLeft, audit, fabric };
};

let count = 0;
const lesson = (
  content: string,
  more: Partial<MemoryDraft> & { task?: string; attempt?: number } = {},
): MemoryDraft => {
  count += 1;
  const { task = 'a-task', attempt = 1, ...rest } = more;
  const source = { kind: 'lesson' as const, by: 'builder', task_id: task, subtask_id: 'build', attempt, at };
  return { scope, content, key: `${count}`, source, ...rest };
};
const note = (content: string, more: Partial<MemoryDraft> = {}): MemoryDraft => {
  count += 1;
  return { scope, content, key: `${count}`, source: { kind: 'note', by: 'cli:ada', at }, ...more };
};
const found = async (memories: Memories, text: string, more = {}) =>
  (await memories.recall({ scopes: [scope], text, limit: 5, ...more })).map(({ memory }) => memory.content);

/** The tests, on the server at this address; left out, on the one of the run. */
export const conform = (url?: string): void => {
  keeps(url);
  mergesAndLoses(url);
  findsAndForgets(url);
  isBounded(url);
};

const keeps = (url?: string): void => {
  test('what is remembered is found by what it is about, the best first, in the scopes that are asked', async () => {
    const { memories } = await openOn(url);
    await memories.remember(note('The CSV export must quote fields that hold a comma'));
    await memories.remember(note('The login page needs a rate limit'));
    await memories.remember(note('Export of reports runs at night'));
    await memories.remember(note('Elsewhere the CSV export quotes nothing', { scope: 'agent:builder' }));
    expect(await found(memories, 'Add a CSV export')).toEqual([
      'The CSV export must quote fields that hold a comma',
      'Export of reports runs at night',
    ]);
    const both = await memories.recall({ scopes: [scope, 'agent:builder'], text: 'CSV export quotes', limit: 9 });
    expect(both.map(({ memory }) => memory.scope).sort()).toEqual(['agent:builder', scope, scope]);
    expect(await found(memories, 'nothing of the sort')).toEqual([]);
  });

  test('a memory carries what was said, by whom and when, and how often it helped', async () => {
    const { memories, clock } = await openOn(url);
    const { id } = await memories.remember(lesson('Tests need a clean folder', { tags: ['Tests'], importance: 0.7 }));
    expect(await memories.show(id)).toEqual({
      ...{ id, scope, content: 'Tests need a clean folder', tags: ['tests'], importance: 0.7, kind: 'lesson' },
      sources: [{ kind: 'lesson', by: 'builder', task_id: 'a-task', subtask_id: 'build', attempt: 1, at }],
      ...{ times: 1, created_at: at, last_used_at: null, uses: 0 },
    });
    clock.now += 1000;
    await memories.used([id]);
    expect(await memories.show(id)).toMatchObject({ uses: 1, last_used_at: '2026-01-02T03:04:06.000Z' });
    await memories.remove({ ids: [id] });
    await memories.used([id]);
    await expect(memories.show(id)).rejects.toMatchObject({ code: 'MEMORY_UNKNOWN' });
  });

  test('the same key is remembered once, also when two say it at the same time', async () => {
    const { memories } = await openOn(url);
    const draft = lesson('Tests need a clean folder');
    const said = await Promise.all([memories.remember(draft), memories.remember(draft), memories.remember(draft)]);
    expect(said.map(({ how }) => how).sort()).toEqual(['kept', 'known', 'known']);
    expect((await memories.remember({ ...draft, content: 'In other words altogether' })).how).toBe('known');
    expect((await memories.list({ limit: 9, offset: 0 })).memories).toMatchObject([{ times: 1 }]);
  });
};

const mergesAndLoses = (url?: string): void => {
  test('what says the same in other numbers or other words becomes a source of what is there, once', async () => {
    const { memories } = await openOn(url);
    const { id } = await memories.remember(
      lesson('The gate failed: 3 tests of parse() failed after 120 ms', { attempt: 1 }),
    );
    const again = lesson('The gate failed: 4 tests of parse() failed after 99 ms', { attempt: 2 });
    expect(await memories.remember(again)).toEqual({ id, how: 'merged' });
    expect(await memories.remember(again)).toEqual({ id, how: 'known' });
    const other = lesson('The gate has failed: tests of parse() failed after 9 ms', { task: 'other-task' });
    expect(await memories.remember(other)).toEqual({ id, how: 'merged' });
    const { sources, times, importance } = await memories.show(id);
    expect(sources.map(({ task_id, attempt }) => `${task_id} ${attempt}`).sort()).toEqual([
      ...['a-task 1', 'a-task 2', 'other-task 1'],
    ]);
    expect(times).toBe(3);
    expect(importance).toBeCloseTo(0.6);
    // What a person notes is what it says: its numbers matter.
    await memories.remember(note('Use port 8080'));
    expect(await memories.remember(note('Use port 9090'))).toMatchObject({ how: 'kept' });
    expect(await memories.remember(note('use  port 9090'))).toMatchObject({ how: 'merged' });
  });

  test('a full scope loses what is worth least: unimportant, old, and not used', async () => {
    const { memories, clock } = await openOn(url, { settings: { ...settings, memoriesMax: 3 } });
    const old = await memories.remember(note('old but used'));
    clock.now += 1;
    await memories.remember(note('old and idle'));
    clock.now += 500;
    await memories.remember(note('new and minor', { importance: 0.1 }));
    await memories.used([old.id]);
    const contents = async () => (await memories.list({ limit: 9, offset: 0 })).memories.map(({ content }) => content);
    await memories.remember(note('new one'));
    expect(await contents()).toEqual(['new one', 'old and idle', 'old but used']);
    clock.now += 1;
    await memories.remember(note('new two'));
    expect(await contents()).toEqual(['new two', 'new one', 'old but used']);
    expect(await memories.scopes()).toEqual([{ scope, count: 3 }]);
  });

  test('what was not used for long enough is forgotten, the unimportant sooner', async () => {
    const { memories, clock } = await openOn(url);
    await memories.remember(note('minor', { importance: 0.04 }));
    await memories.remember(note('major', { importance: 1 }));
    expect(await memories.decay()).toBe(0);
    clock.now += 1100;
    expect(await memories.decay()).toBe(1);
    expect(await found(memories, 'major')).toEqual(['major']);
    clock.now += 5000;
    expect(await memories.decay()).toBe(1);
  });
};

const findsAndForgets = (url?: string): void => {
  test('nothing is left in the server once the last memory is gone', async () => {
    const { memories, keysLeft, audit } = await openOn(url);
    const { id } = await memories.remember(lesson('One of a task', { task: 'first-task', tags: ['x'] }));
    await memories.remember(lesson('Something else entirely', { task: 'second-task' }));
    await memories.remember(note('A third', { scope: 'shared' }));
    expect((await keysLeft()).length).toBeGreaterThan(10);
    expect(await audit()).toEqual([]);
    expect(await memories.remove({ ids: [id, id, 'maaaaaaaaaaaa'] })).toBe(1);
    expect(await audit()).toEqual([]);
    expect(await memories.remove({ task: 'second-task' })).toBe(1);
    expect(await memories.remove({ scope: 'shared' })).toBe(1);
    expect(await keysLeft()).toEqual([]);
  });

  test('forgetting a task takes its part in a memory, and the memory only if nobody else has met it', async () => {
    const { memories, keysLeft } = await openOn(url);
    const { id } = await memories.remember(lesson('The parser drops the last line', { task: 'first-task' }));
    await memories.remember(lesson('The parser drops the last line', { task: 'second-task' }));
    expect(await memories.remove({ task: 'first-task' })).toBe(0);
    expect((await memories.show(id)).sources.map(({ task_id }) => task_id)).toEqual(['second-task']);
    expect(await memories.remove({ task: 'second-task' })).toBe(1);
    expect(await keysLeft()).toEqual([]);
  });

  test('many memories go at once, a few at a time', async () => {
    const { memories, keysLeft } = await openOn(url, { settings: { ...settings, memoriesMax: 10_000 } });
    await Promise.all(Array.from({ length: 450 }, (_, n) => memories.remember(note(`word${n} and common`))));
    expect(await memories.remove({ scope })).toBe(450);
    expect(await keysLeft()).toEqual([]);
  });

  test('a secret is taken out before anything is stored', async () => {
    const { memories, fabric } = await openOn(url);
    const { id } = await memories.remember(note('The password is hunter2'));
    expect((await memories.show(id)).content).toBe('The password is (redacted)');
    const keys = await fabric.redis.keys(`${fabric.config.prefix}:memory:*`);
    expect(keys.filter((key) => key.includes('hunter2'))).toEqual([]);
  });

  test('tags narrow down what is found, and find by themselves', async () => {
    const { memories } = await openOn(url);
    await memories.remember(note('Quote commas in the export', { tags: ['csv'] }));
    await memories.remember(note('Export at night', { tags: ['ops'] }));
    expect(await found(memories, 'export', { tags: ['OPS'] })).toEqual(['Export at night']);
    expect(await found(memories, '', { tags: ['csv'] })).toEqual(['Quote commas in the export']);
  });

  test('what fits too little stays away from a prompt', async () => {
    const { memories } = await openOn(url);
    await memories.remember(note('The CSV export must quote commas'));
    await memories.remember(note('Tests of the login page are slow'));
    const question = { about: 'Add a CSV export', text: 'Write tests for it, with commas', fit: 0.15 };
    expect(await found(memories, question.text, question)).toEqual(['The CSV export must quote commas']);
    expect(await found(memories, '', { ...question, fit: 0.99 })).toEqual([]);
    const without = { ...question, where: () => false };
    expect(await found(memories, '', without)).toEqual([]);
  });
};

const isBounded = (url?: string): void => {
  test('in a huge scope a question reads a bounded part of the index, and still finds the rare word', async () => {
    const narrow = { ...settings, memoriesMax: 10_000, memoryPostingsMax: 64, memoryReadMax: 100 };
    const { memories, fabric } = await openOn(url, { settings: narrow });
    await Promise.all(Array.from({ length: 300 }, (_, n) => memories.remember(note(`common thing number${n}x`))));
    await memories.remember(note('common thing about zeppelins and much more that is long enough to weigh little'));
    expect(await fabric.redis.zcard(`${fabric.config.prefix}:memory:word:${scope}:common`)).toBe(64);
    expect((await found(memories, 'a common zeppelin'))[0]).toContain('zeppelins');
  });
};
