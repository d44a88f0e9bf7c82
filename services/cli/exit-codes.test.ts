import { ClientProblem } from '@nexus/shared/client';
import { fail } from '@nexus/shared/errors';
import { expect, test } from 'vitest';
import { toFailure } from './exit-codes.ts';

const answered = (status: number, code: string) =>
  toFailure(new ClientProblem({ title: '', status, code, detail: 'It says why.' })).exit;

test.each(['BUS_MEMORY', 'BUS_FULL', 'DRAINING'])('what a living fleet refuses for now is refused: %s', (code) => {
  expect(answered(503, code)).toBe('refused');
});

test.each(['REDIS_UNREACHABLE', 'NO_WORKER'])('what is away is unavailable: %s', (code) => {
  expect(answered(503, code)).toBe('unavailable');
});

test('a Redis that takes no writes is unavailable to who speaks to it without a gateway', () => {
  expect(toFailure(fail('BUS_MEMORY', { percent: 100, percentMax: 100 })).exit).toBe('unavailable');
});
