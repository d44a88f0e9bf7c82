import { describe, expect, test } from 'vitest';
import { openStuckWatch, type StuckLimits } from './stuck.ts';

const watch = (limits: Partial<StuckLimits>) => openStuckWatch({ afterMs: 0, silentMs: 0, repeats: 0, ...limits }, 0);

describe('an agent without progress', () => {
  test('is stuck when neither output, file nor commit is new for so long', () => {
    const agent = watch({ afterMs: 10_000 });
    agent.heard('reads\n', 1000);
    agent.changed(4000);
    expect(agent.look(13_999)).toBeNull();
    expect(agent.look(14_000)).toBe('no new commit, changed file or new output for 10 s');
  });

  test('makes no progress by saying the same again', () => {
    const agent = watch({ afterMs: 10_000 });
    for (let at = 0; at < 10_000; at += 100) agent.heard('thinking\n', at);
    expect(agent.look(10_000)).not.toBeNull();
  });

  test('makes progress by every new line', () => {
    const agent = watch({ afterMs: 10_000 });
    for (let at = 0; at < 60_000; at += 5000) agent.heard(`step ${at}\n`, at);
    expect(agent.look(60_000)).toBeNull();
  });

  test('that is told something has the whole time again', () => {
    const agent = watch({ afterMs: 10_000 });
    agent.told(9000);
    expect(agent.look(15_000)).toBeNull();
    expect(agent.look(19_000)).not.toBeNull();
  });
});

describe('an agent that repeats itself', () => {
  const say = (agent: ReturnType<typeof watch>, times: number, ...lines: string[]) => {
    for (let time = 0; time < times; time += 1) agent.heard(`${lines.join('\n')}\n`, time);
  };

  test('is stuck after so many times, with one line or a few in turn', () => {
    for (const lines of [['$ npm test'], ['$ npm test', 'it fails', 'I try again']]) {
      const agent = watch({ repeats: 20 });
      say(agent, 19, ...lines);
      expect(agent.look(99)).toBeNull();
      say(agent, 1, ...lines);
      expect(agent.look(99)).toContain('the same output 20 times over');
      expect(agent.look(99)).toContain('npm test');
    }
  });

  test('is not stuck while files change, or a counter grows', () => {
    const changing = watch({ repeats: 20 });
    say(changing, 15, '$ npm test');
    changing.changed(50);
    say(changing, 15, '$ npm test');
    expect(changing.look(99)).toBeNull();
    const counting = watch({ repeats: 20 });
    for (let file = 0; file < 100; file += 1) say(counting, 1, `compiles file ${file} of 100`);
    expect(counting.look(99)).toBeNull();
  });

  test('is heard right where its lines come in pieces', () => {
    const agent = watch({ repeats: 3 });
    for (const piece of ['aga', 'in\nag', 'ain\naga', 'in', '\n']) agent.heard(piece, 1);
    expect(agent.look(2)).toContain('the same output 3 times');
  });
});

test('an agent is stuck by silence alone only where that is asked for, whatever it changes', () => {
  const agent = watch({ silentMs: 5000, afterMs: 20_000 });
  agent.heard('begins\n', 1000);
  agent.changed(5500);
  expect(agent.look(5999)).toBeNull();
  expect(agent.look(6000)).toBe('no output for 5 s');
  const off = watch({ afterMs: 20_000 });
  expect(off.look(19_000)).toBeNull();
});
