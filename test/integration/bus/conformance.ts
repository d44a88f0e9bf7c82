/**
 * What a fabric does, rule by rule, said once for the real scripts and for the model that the simulation runs on.
 * `conform` names the cases of each rule; `sequences` makes up any number of others, whose replies and states are
 * compared between two fabrics.
 */
import { expect, test } from 'vitest';
import type { Row } from '../../simulation/fabric-port.ts';
import { settling } from './conformance-settling.ts';
import {
  beginOf,
  bodies,
  group,
  normal,
  type Opened,
  patch,
  type Rule,
  say,
  settlementOf,
  takeOf,
  takeOne,
} from './conformance-tools.ts';

export type Open = () => Promise<Opened>;

const using = (open: Open, about: (fabric: Opened) => Promise<void>) => async (): Promise<void> => {
  const fabric = await open();
  try {
    await about(fabric);
  } finally {
    await fabric.close();
  }
};

/** Every rule of the fabric that its scripts keep. */
export const conform = (name: string, open: Open): void => {
  const rule = (title: string, about: (fabric: Opened) => Promise<void>): void => {
    test(`${name}, ${title}`, using(open, about));
  };
  claims(rule);
  takeovers(rule);
  reading(rule);
  settling(rule);
  parking(rule);
  stopping(rule);
  ending(rule);
};

const claims = (rule: Rule): void => {
  rule('rule 1: after A → B → A the first token of A settles, renews and begins nothing', async (fabric) => {
    await say(fabric, 'm');
    const first = await takeOne(fabric, 'A');
    await fabric.pass(20_000);
    await takeOne(fabric, 'B', { lookForIdle: true });
    await fabric.pass(20_000);
    const third = await takeOne(fabric, 'A', { lookForIdle: true });
    expect(third.deliveries).toBe(3);
    expect(await fabric.settle(group, 'A', [settlementOf(first)])).toEqual(['lost']);
    const asked = { taskKey: 'task:t', scopes: [], living: false, afterEnd: false };
    expect((await fabric.renew(group, 'A', [{ ...first, ...asked }])).results).toEqual(['lost']);
    expect(await fabric.begin(beginOf('A', first, 0))).toBe('lost');
    expect(await fabric.begin(beginOf('A', third, 0))).toBe('ok');
    expect(await fabric.settle(group, 'A', [settlementOf(third)])).toEqual(['ok']);
    expect(bodies(await fabric.look())).toEqual([]);
  });
  rule('rule 1: a renewal neither steals an entry back nor counts a delivery', async (fabric) => {
    await say(fabric, 'm');
    const asked = { taskKey: 'task:t', scopes: [], living: false, afterEnd: false };
    const first = await takeOne(fabric, 'A');
    await fabric.pass(12_000);
    expect((await fabric.renew(group, 'A', [{ ...first, ...asked }])).results).toEqual(['ok']);
    await fabric.pass(12_000);
    expect((await fabric.take(takeOf('B', { lookForIdle: true }))).rows).toEqual([]);
    await fabric.pass(12_000);
    const second = await takeOne(fabric, 'B', { lookForIdle: true });
    expect(second.deliveries).toBe(2);
    expect((await fabric.renew(group, 'A', [{ ...first, ...asked }])).results).toEqual(['lost']);
    expect((await fabric.look()).inboxes[normal]).toEqual([{ body: 'm', held: { by: 'B', deliveries: 2 } }]);
  });
  rule('rule 2: what asks again after its settlement committed hears "lost" and changes nothing', async (fabric) => {
    await say(fabric, 'm');
    const row = await takeOne(fabric, 'A');
    const once = settlementOf(row, { write: [{ op: 'count', key: 'stats:d', field: 'n', by: 1 }] });
    expect(await fabric.settle(group, 'A', [once])).toEqual(['ok']);
    expect(await fabric.settle(group, 'A', [once])).toEqual(['lost']);
    expect((await fabric.look()).hashes['stats:d']).toEqual({ n: '1' });
  });
  rule('rule 3: what is pending at a consumer that never saw it is found, with its token', async (fabric) => {
    await say(fabric, 'm');
    await takeOne(fabric, 'A');
    const [found] = await fabric.pendingAt(group, 'A');
    expect(found).toMatchObject({ body: 'm', deliveries: 1 });
    expect(await fabric.settle(group, 'A', [settlementOf(found as Row)])).toEqual(['ok']);
  });
};

const takeovers = (rule: Rule): void => {
  rule('rule 4: the entries of a dead peer are taken at once, with one more delivery and one death', async (fabric) => {
    await say(fabric, 'm');
    await takeOne(fabric, 'A');
    expect((await fabric.take(takeOf('B'))).rows).toEqual([]);
    expect(await takeOne(fabric, 'B', { dead: ['A'] })).toMatchObject({ source: 'dead', deliveries: 2, deaths: 1 });
  });
  rule('rules 3 and 4: what is idle for 15 s may be taken from anybody, and that is no death', async (fabric) => {
    await say(fabric, 'm');
    await takeOne(fabric, 'A');
    await fabric.pass(12_000);
    expect((await fabric.take(takeOf('B', { lookForIdle: true }))).rows).toEqual([]);
    await fabric.pass(12_000);
    expect(await takeOne(fabric, 'B', { lookForIdle: true })).toMatchObject({ source: 'idle', deaths: 0 });
    expect((await fabric.look()).deaths).toEqual({});
  });
  rule('rule 5: what was given back is served first, and the giving back counts no delivery', async (fabric) => {
    await say(fabric, 'old', 'finalizer:LOW');
    const row = await takeOne(fabric, 'A');
    await say(fabric, 'new', 'finalizer:CRITICAL');
    expect(await fabric.settle(group, 'A', [settlementOf(row, { ending: { end: 'nobody' } })])).toEqual(['ok']);
    expect((await fabric.look()).inboxes['finalizer:LOW']).toEqual([
      { body: 'old', held: { by: 'nobody', deliveries: 1 } },
    ]);
    expect(await takeOne(fabric, 'B')).toMatchObject({ body: 'old', source: 'nobody', deliveries: 2 });
  });
  rule('rule 5: an instance is not forgotten while it holds entries, nor once it beats again', async (fabric) => {
    await fabric.beat(group, 'A', 0, 'running');
    await say(fabric, 'm');
    const row = await takeOne(fabric, 'A');
    expect(await fabric.bury(group, 'A', '1')).toBe(0);
    await fabric.settle(group, 'A', [settlementOf(row)]);
    await fabric.beat(group, 'A', 0, 'running');
    expect(await fabric.bury(group, 'A', '1')).toBe(0);
    expect(await fabric.bury(group, 'A', '2')).toBe(1);
    expect((await fabric.look()).beats).toEqual({});
  });
  rule(
    'rule 6: deaths are counted, not deliveries; settling and new work that was saved forget them',
    async (fabric) => {
      await say(fabric, 'm');
      await takeOne(fabric, 'A');
      await takeOne(fabric, 'B', { dead: ['A'] });
      await fabric.pass(20_000);
      expect(await takeOne(fabric, 'C', { lookForIdle: true })).toMatchObject({ deaths: 1, deliveries: 3 });
      const row = await takeOne(fabric, 'D', { dead: ['C'] });
      expect(row).toMatchObject({ deaths: 2, diedAlone: false });
      expect(await fabric.begin({ ...beginOf('D', row, 0), alone: true })).toBe('ok');
      const last = await takeOne(fabric, 'E', { dead: ['D'] });
      expect(last).toMatchObject({ deaths: 3, diedAlone: true });
      expect(await fabric.settle(group, 'E', [settlementOf(last, { ending: { end: 'keep' } })])).toEqual(['ok']);
      expect((await fabric.look()).deaths).not.toEqual({});
      expect(await fabric.settle(group, 'E', [settlementOf(last, { ending: { end: 'saved' } })])).toEqual(['ok']);
      expect((await fabric.look()).deaths).toEqual({});
    },
  );
  rule('rule 6: given back by who ran alone, the deaths stay and the mark of being alone goes', async (fabric) => {
    await say(fabric, 'm');
    await takeOne(fabric, 'A');
    const row = await takeOne(fabric, 'B', { dead: ['A'] });
    await fabric.begin({ ...beginOf('B', row, 0), alone: true });
    await fabric.settle(group, 'B', [settlementOf(row, { ending: { end: 'nobody' } })]);
    expect((await fabric.look()).deaths).toEqual({ [`${normal}|m`]: '1' });
  });
};

const reading = (rule: Rule): void => {
  rule(
    'rule 7: a take fills exactly the free slots, highest first, and from the lowest on its turn',
    async (fabric) => {
      for (const priority of ['LOW', 'NORMAL', 'HIGH', 'CRITICAL'])
        for (const n of [1, 2]) await say(fabric, `${priority}${n}`, `finalizer:${priority}`);
      const first = await fabric.take(takeOf('A', { free: 3 }));
      expect(first.rows.map(({ body }) => body)).toEqual(['CRITICAL1', 'CRITICAL2', 'HIGH1']);
      const second = await fabric.take(takeOf('A', { free: 3, lowestFirst: true }));
      expect(second.rows.map(({ body }) => body)).toEqual(['LOW1', 'LOW2', 'NORMAL1']);
    },
  );
  rule('rule 7: COUNT of a blocking read is per stream', async (fabric) => {
    for (const priority of ['NORMAL', 'HIGH'])
      for (const n of [1, 2]) await say(fabric, `${priority}${n}`, `finalizer:${priority}`);
    const rows = await fabric.read(group, 'A', 1);
    expect(rows.map(({ body }) => body)).toEqual(['HIGH1', 'NORMAL1']);
  });
  rule('rule 13: at the edge the same key publishes once and tells what was remembered', async (fabric) => {
    const edge = { inbox: normal, json: 'm', id: 'm', delayMs: null, limit: 2, seen: 'seen:k', remember: 'first' };
    const message = { ...edge, mark: 'seen:task:t', attach: [{ key: 'request:t', text: 'long' }] };
    expect(await fabric.publish([message, { ...message, remember: 'second' }])).toEqual(['ok', 'seen first']);
    const more = { ...message, id: 'n', json: 'n', mark: null, attach: [] };
    expect(
      await fabric.publish([
        { ...more, seen: null },
        { ...more, seen: 'seen:l' },
      ]),
    ).toEqual(['ok', 'full 2']);
    const look = await fabric.look();
    expect(bodies(look)).toEqual(['m', 'n']);
    expect(look.texts).toMatchObject({ 'seen:k': 'first', 'seen:task:t': 'm', 'request:t': 'long' });
  });
};

const parking = (rule: Rule): void => {
  rule('rule 15: a retry lies in the park, settled, and comes back once, however often it is rung', async (fabric) => {
    await say(fabric, 'm');
    const row = await takeOne(fabric, 'A');
    const ending = { end: 'park', id: 'm', json: 'm again', delayMs: 30_000 } as const;
    expect(await fabric.settle(group, 'A', [settlementOf(row, { ending })])).toEqual(['ok']);
    expect((await fabric.look()).parked).toEqual({ m: { inbox: normal, body: 'm again' } });
    expect(await fabric.release(['m'], 100)).toBe(0);
    await fabric.pass(36_000);
    expect(await fabric.release(['m'], 100)).toBe(1);
    expect(await fabric.release(['m'], 100)).toBe(0);
    expect(await fabric.release(null, 100)).toBe(0);
    expect(bodies(await fabric.look())).toEqual(['m again']);
  });
  rule('rule 15: a lost alarm is made up for by the sweep', async (fabric) => {
    await say(fabric, 'late', normal, 30_000);
    await say(fabric, 'soon', normal, 10_000);
    await fabric.pass(12_000);
    expect(await fabric.release(null, 100)).toBe(1);
    await fabric.pass(24_000);
    expect(await fabric.release(null, 100)).toBe(1);
    expect(bodies(await fabric.look())).toEqual(['soon', 'late']);
  });
  rule('a dead letter is kept with its last words, and goes back once', async (fabric) => {
    await say(fabric, 'm');
    const row = await takeOne(fabric, 'A');
    const publish = [{ inbox: 'orchestrator:NORMAL', json: 'it died', id: 'w', delayMs: null }];
    await fabric.settle(group, 'A', [settlementOf(row, { publish, ending: { end: 'dead', id: 'm', json: 'letter' } })]);
    expect(await fabric.look()).toMatchObject({ dead: { m: 'letter' } });
    expect(bodies(await fabric.look(), 'orchestrator:NORMAL')).toEqual(['it died']);
    expect(await fabric.replay('m', normal, 'm')).toBe(1);
    expect(await fabric.replay('m', normal, 'm')).toBe(0);
    expect(await fabric.look()).toMatchObject({ dead: {} });
    expect(bodies(await fabric.look())).toEqual(['m']);
  });
};

const word = (given: string, expected: number | null = null, scope = '') => ({ word: given, expected, scope });

const stopping = (rule: Rule): void => {
  rule('rule 17: STOP and the RESUME after it raise the epoch, a PAUSE does not; messages wait', async (fabric) => {
    await say(fabric, 'm');
    const row = await takeOne(fabric, 'A');
    expect(await fabric.control(word('PAUSE_ALL'))).toEqual({ answer: 'ok', epoch: 0, state: 'paused' });
    expect(await fabric.control(word('STOP_ALL'))).toEqual({ answer: 'ok', epoch: 1, state: 'stopped' });
    expect(await fabric.control(word('PAUSE_ALL'))).toEqual({ answer: 'ok', epoch: 1, state: 'stopped' });
    expect(await fabric.take(takeOf('B'))).toEqual({ epoch: 1, state: 'held', rows: [] });
    expect(await fabric.begin(beginOf('A', row, 0))).toBe('stopped 1');
    expect(await fabric.begin(beginOf('A', row, 1))).toBe('stopped 1');
    expect(await fabric.control(word('RESUME_ALL'))).toEqual({ answer: 'ok', epoch: 2, state: 'running' });
    expect(await fabric.begin(beginOf('A', row, 0))).toBe('stopped 2');
    expect(await fabric.settle(group, 'A', [settlementOf(row, { epoch: 0 })])).toEqual(['epoch']);
    const keep = settlementOf(row, { ending: { end: 'keep' }, write: [patch('attempt:t', 0)] });
    expect(await fabric.settle(group, 'A', [keep])).toEqual(['ok']);
    expect(await fabric.settle(group, 'A', [settlementOf(row, { ending: { end: 'nobody' } })])).toEqual(['ok']);
    const again = await takeOne(fabric, 'A');
    expect(await fabric.begin(beginOf('A', again, 2))).toBe('ok');
  });
  rule('rule 18: a word that knows an older epoch is refused, and a written STOP outdates words', async (fabric) => {
    expect(await fabric.control(word('STOP_ALL', 0))).toMatchObject({ answer: 'ok', epoch: 1 });
    expect(await fabric.control(word('RESUME_ALL', 0))).toEqual({ answer: 'refused', epoch: 1, state: 'stopped' });
    expect(await fabric.control(word('STOP_ALL'))).toMatchObject({ answer: 'ok', epoch: 2 });
    expect(await fabric.control(word('RESUME_ALL', 1))).toEqual({ answer: 'refused', epoch: 2, state: 'stopped' });
  });
  rule('a weaker word loosens no stronger one, of the fleet or of a part; a RESUME lifts each', async (fabric) => {
    const words = ['DRAIN', 'PAUSE_ALL', 'STOP_ALL'];
    const states = ['draining', 'paused', 'stopped'];
    for (const [strong, given] of words.entries()) {
      for (const weak of words.slice(0, strong)) {
        for (const scope of ['', 'task:t']) {
          await fabric.control(word(given, null, scope));
          expect(await fabric.control(word(weak, null, scope))).toMatchObject({ answer: 'ok' });
          const { control } = await fabric.look();
          expect(scope === '' ? control.state : control.scopes[scope]).toBe(states[strong]);
          await fabric.control(word('RESUME_ALL', null, scope));
          expect((await fabric.look()).control).toMatchObject({ state: 'running', scopes: {} });
        }
      }
    }
    // The other way round each tightens what was.
    for (const [at, given] of words.entries()) {
      expect(await fabric.control(word(given))).toMatchObject({ state: states[at] });
      await fabric.control(word(given, null, 'agent:a'));
      expect((await fabric.look()).control.scopes).toEqual({ 'agent:a': states[at] });
    }
  });
  rule('rule 19: a beat brings back the epoch that a failover has lost; on equal epochs STOP wins', async (fabric) => {
    expect(await fabric.beat(group, 'A', 3, 'stopped')).toEqual({ epoch: 3, state: 'stopped', peers: ['A', '1'] });
    expect(await fabric.beat(group, 'B', 2, 'running')).toMatchObject({ epoch: 3, state: 'stopped' });
    expect(await fabric.beat(group, 'B', 3, 'running')).toMatchObject({ epoch: 3, state: 'stopped' });
    expect(await fabric.beat(group, 'B', 4, 'running')).toMatchObject({ epoch: 4, state: 'running' });
    expect(await fabric.beat(group, 'A', 4, 'stopped')).toMatchObject({ epoch: 4, state: 'stopped' });
  });
  rule('rule 20: begin says what began and refuses it to a claim that was lost', async (fabric) => {
    await say(fabric, 'm');
    const row = await takeOne(fabric, 'A');
    const publish = [{ inbox: 'orchestrator:NORMAL', json: 'begun', id: 'b', delayMs: null }];
    expect(await fabric.begin({ ...beginOf('B', row, 0), publish })).toBe('lost');
    expect(await fabric.begin({ ...beginOf('A', row, 0), publish })).toBe('ok');
    expect(bodies(await fabric.look(), 'orchestrator:NORMAL')).toEqual(['begun']);
  });
  rule('rule 22: a stopped scope holds what it names, in begin, in renew and in take', async (fabric) => {
    await say(fabric, 'm');
    const row = await takeOne(fabric, 'A');
    const asked = { taskKey: 'task:t', scopes: ['agent:a'], living: false, afterEnd: false };
    for (const scope of ['task:t', 'agent:a']) {
      await fabric.control(word('STOP_ALL', null, scope));
      expect(await fabric.begin(beginOf('A', row, 0))).toBe('held 0');
      if (scope === 'agent:a')
        expect((await fabric.renew(group, 'A', [{ ...row, ...asked }])).results).toEqual(['stopped']);
      await fabric.control(word('RESUME_ALL', null, scope));
    }
    for (const scope of ['service:finalizer', 'instance:A']) {
      for (const given of ['STOP_ALL', 'PAUSE_ALL', 'DRAIN']) {
        await fabric.control(word(given, null, scope));
        expect(await fabric.take(takeOf('A'))).toEqual({ epoch: 0, state: 'held', rows: [] });
        await fabric.control(word('RESUME_ALL', null, scope));
      }
    }
    // A fleet that drains finishes its work, a part that drains begins nothing new.
    await fabric.control(word('DRAIN'));
    expect(await fabric.take(takeOf('A'))).toMatchObject({ state: 'draining' });
    await fabric.control(word('DRAIN', null, 'instance:A'));
    expect(await fabric.take(takeOf('A'))).toMatchObject({ state: 'held' });
    await fabric.control(word('RESUME_ALL', null, 'instance:A'));
    await fabric.control(word('RESUME_ALL'));
    expect(await fabric.begin(beginOf('A', row, 0))).toBe('ok');
  });
};

const ending = (rule: Rule): void => {
  rule('rule 20: work of a task that has ended or is gone neither begins nor goes on', async (fabric) => {
    await say(fabric, 'm');
    await say(fabric, 'writer', 'orchestrator:NORMAL');
    const row = await takeOne(fabric, 'A');
    const writer = (await fabric.read('orchestrator', 'O', 1))[0] as Row;
    const asked = { taskKey: 'task:t', scopes: [], living: true, afterEnd: false };
    const renewed = async (afterEnd = false) =>
      (await fabric.renew(group, 'A', [{ ...row, ...asked, afterEnd }])).results;
    expect(await fabric.begin({ ...beginOf('A', row, 0), living: true })).toBe('ended deleted');
    expect(await renewed()).toEqual(['ended']);
    for (const [revision, status] of ['in_progress', 'completed', 'failed', 'cancelled'].entries()) {
      const write = [patch('task:t', revision, { status })];
      await fabric.settle('orchestrator', 'O', [settlementOf(writer, { ending: { end: 'keep' }, write })]);
      const begun = await fabric.begin({ ...beginOf('A', row, 0), living: true });
      expect(begun).toBe(status === 'in_progress' ? 'ok' : `ended ${status}`);
      expect(await renewed()).toEqual([status === 'failed' || status === 'cancelled' ? 'ended' : 'ok']);
      expect(await fabric.begin({ ...beginOf('A', row, 0), living: true, afterEnd: true })).toBe('ok');
      expect(await renewed(true)).toEqual(['ok']);
    }
  });
};
