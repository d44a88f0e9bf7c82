import type { Presence } from '@nexus/shared/messages/domain';
import { expect, test } from 'vitest';
import { stateUnder } from './presence.ts';

const worker = { service: 'worker-agent', instance_id: 'worker-agent-a' } as const;

test.each<[Presence['state'], Record<string, string>, Presence['state']]>([
  ['serving', {}, 'serving'],
  ['serving', { 'instance:worker-agent-a': 'stopped' }, 'stopped'],
  ['serving', { 'service:worker-agent': 'paused' }, 'paused'],
  ['paused', { 'instance:worker-agent-a': 'stopped' }, 'stopped'],
  ['stopped', { 'service:worker-agent': 'paused' }, 'stopped'],
  ['serving', { 'instance:worker-agent-b': 'stopped', 'task:worker-agent-a': 'stopped' }, 'serving'],
  ['draining', {}, 'draining'],
])('an instance that tells %s under %o is shown as %s', (state, scopes, shown) => {
  expect(stateUnder(scopes, { ...worker, state })).toBe(shown);
});
