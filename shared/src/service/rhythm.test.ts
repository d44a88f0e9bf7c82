import { rhythmByDefault } from '@nexus/shared/bus';
import { loadConfig } from '@nexus/shared/config';
import { expect, test } from 'vitest';
import { limitsOf, rhythmConfig, rhythmProblems } from './rhythm.ts';

test('without a setting the rhythm is the one that the bus has by itself', () => {
  const limits = limitsOf(loadConfig(rhythmConfig, {}));
  expect(limits).toMatchObject(rhythmByDefault);
  expect(limits).toMatchObject({ beatLateMs: 5000, aheadMs: 3_600_000 });
});

test('a rhythm in which who is well would count as dead is refused with both settings', () => {
  const problems = (env: Record<string, string>) => rhythmProblems(loadConfig(rhythmConfig, env));
  expect(problems({})).toEqual([]);
  expect(problems({ NEXUS_BEAT: '2s' })).toEqual([
    expect.stringMatching(/NEXUS_BEAT_STALE is 1500 ms.*\(NEXUS_BEAT\)/),
  ]);
  expect(problems({ NEXUS_RENEW_EVERY: '5s', NEXUS_CLAIM_IDLE: '20s' })).toEqual([
    expect.stringMatching(/NEXUS_CLAIM_IDLE is 20000 ms.*25000 ms/),
  ]);
});
