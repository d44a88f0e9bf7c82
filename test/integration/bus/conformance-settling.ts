/** Rule 9 and its neighbours: what a settlement writes, refuses and leaves, for `conformance.ts`. */
import { expect } from 'vitest';
import type { Row } from '../../simulation/fabric-port.ts';
import { bodies, group, holders, patch, type Rule, say, settlementOf, takeOf, takeOne } from './conformance-tools.ts';

export const settling = (rule: Rule): void => {
  rule('rule 9: each entry of a batch is all or nothing, and a bad one leaves nothing behind', async (fabric) => {
    for (const n of [1, 2, 3, 4]) await say(fabric, `m${n}`);
    const { rows } = await fabric.take(takeOf('A', { free: 4 }));
    const [one, two, three, four] = rows as [Row, Row, Row, Row];
    const publish = (id: string) => [{ inbox: 'orchestrator:LOW', json: id, id, delayMs: null }];
    const results = await fabric.settle(group, 'A', [
      settlementOf(one, { write: [patch('task:a', 0)], publish: publish('from 1') }),
      settlementOf(two, { write: [patch('task:b', 0), patch('task:a', 0)], publish: publish('from 2') }),
      settlementOf(three, { write: [patch('task:a', 1, { v: 'y' })], publish: publish('from 3') }),
      settlementOf(three),
      settlementOf(four, { write: [{ op: 'index', key: 'orchestrator', member: 'x', score: 1 }], epoch: 7 }),
    ]);
    expect(results).toEqual(['ok', 'moved', 'ok', 'twice', 'epoch']);
    const look = await fabric.look();
    expect(look.hashes).toEqual({ 'task:a': { revision: '2', v: 'y' } });
    expect(bodies(look, 'orchestrator:LOW')).toEqual(['from 1', 'from 3']);
    expect(bodies(look)).toEqual(['m2', 'm4']);
    expect(holders(look)).toEqual(['A', 'A']);
  });
  rule('rule 9: a key of another type refuses its entry before anything is written', async (fabric) => {
    await say(fabric, 'm');
    const row = await takeOne(fabric, 'A');
    const write = [
      { op: 'index', key: 'tasks', member: 't', score: 1 },
      { op: 'count', key: 'load', field: 't', by: 1 },
      { op: 'count', key: 'tasks', field: 't', by: 1 },
    ] as const;
    await fabric.settle(group, 'A', [settlementOf(row, { write: write.slice(0, 1), ending: { end: 'keep' } })]);
    const [said] = await fabric.settle(group, 'A', [settlementOf(row, { write })]);
    expect(said).toMatch(/^type .*tasks$/);
    const look = await fabric.look();
    expect(look.hashes).toEqual({});
    expect(bodies(look)).toEqual(['m']);
  });
  rule('rule 9: a key that is not there yet is what the first write of a batch makes of it', async (fabric) => {
    for (const name of ['hash first', 'index first', 'only refused']) {
      await say(fabric, `${name} 1`);
      await say(fabric, `${name} 2`);
      const { rows } = await fabric.take(takeOf('A', { free: 2 }));
      const [one, two] = rows as [Row, Row];
      const asHash = [patch(name, name === 'only refused' ? 5 : 0)];
      const asIndex = [{ op: 'index', key: name, member: 't', score: 1 }] as const;
      const swapped = name === 'index first';
      const [first, second] = await fabric.settle(group, 'A', [
        settlementOf(one, { write: swapped ? asIndex : asHash }),
        settlementOf(two, { write: swapped ? asHash : asIndex }),
      ]);
      expect([name, first, second]).toEqual([
        name,
        name === 'only refused' ? 'moved' : 'ok',
        expect.stringMatching('^type '),
      ]);
    }
    const { hashes, indexes } = await fabric.look();
    expect({ hashes, indexes }).toEqual({
      hashes: { 'hash first': { revision: '1', v: 'x' } },
      indexes: { 'index first': { t: 1 } },
    });
  });
  rule('rule 9: a batch may be settled in one go by many, and a counter at zero goes', async (fabric) => {
    await say(fabric, 'm');
    await say(fabric, 'n');
    const { rows } = await fabric.take(takeOf('A', { free: 2 }));
    const count = (by: number) => [{ op: 'count', key: 'load', field: 't', by }] as const;
    const [one, two] = rows as [Row, Row];
    expect(
      await fabric.settle(group, 'A', [
        settlementOf(one, { write: count(2) }),
        settlementOf(two, { write: count(-2) }),
      ]),
    ).toEqual(['ok', 'ok']);
    expect((await fabric.look()).hashes).toEqual({});
  });
};
