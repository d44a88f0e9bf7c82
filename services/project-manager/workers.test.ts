import type { Presence } from '@nexus/shared/messages/domain';
import { expect, test } from 'vitest';
import { runtimesOf, servingIn, slotsOf } from './workers.ts';

const runtime = (name: string, usable: boolean) => ({ name, usable, looked: '', mend: '' });
const worker = (more: Partial<Presence>): Presence => ({
  ...{ instance_id: 'worker-agent-1', service: 'worker-agent', host: 'here', pid: 1, port: null, version: '1' },
  ...{ started_at: '2026-01-02T03:04:05.000Z', state: 'serving', slots: 4, busy: 0, epoch: 0, confirmed_epoch: 0 },
  ...{ survivors: [], running: [], runtimes: [] },
  ...more,
});

test('only workers that take work now are counted on', () => {
  const fleet = [
    worker({ slots: 4 }),
    worker({ slots: 8, state: 'draining' }),
    worker({ slots: 8, state: 'paused' }),
    worker({ slots: 8, service: 'finalizer' }),
    worker({ slots: 2 }),
  ];
  expect(slotsOf(servingIn(fleet))).toBe(6);
});

test('a worker that has not beaten is not counted on, and one without room only with what it runs', () => {
  const fleet = [
    worker({ slots: 4 }),
    worker({ slots: 8, silent_since: '2026-01-02T03:04:05.000Z' }),
    worker({ slots: 8, busy: 3, refuses: '40 MB of memory are free.' }),
    worker({ slots: 8, busy: 0, refuses: '9 agents run on this machine; NEXUS_AGENTS_MAX is 9.' }),
    worker({ slots: 2, refuses: null }),
  ];
  expect(slotsOf(servingIn(fleet))).toBe(9);
});

test('a runtime counts where one worker can use it, once, and a rehearsal is never chosen', () => {
  const fleet = [
    worker({ runtimes: [runtime('claude-code', false), runtime('command', true), runtime('scripted', true)] }),
    worker({ runtimes: [runtime('openai', true), runtime('command', true)] }),
  ];
  expect(runtimesOf(fleet)).toEqual(['command', 'openai']);
});

test('where NEXUS_RUNTIME names a runtime, no other one is chosen: another account may pay for it', () => {
  const fleet = [
    worker({ runtimes: [runtime('openai', false), { ...runtime('claude-code', true), only_asked: true }] }),
  ];
  expect(runtimesOf(fleet)).toEqual([]);
});
