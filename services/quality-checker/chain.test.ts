import { expect, test } from 'vitest';
import { chainOf, endsInItsTests } from './chain.ts';

const scripts = {
  test: 'npm run lint && npm run unit',
  lint: 'biome check . && tsc --noEmit',
  unit: 'vitest run',
  posttest: 'echo done',
  loop: 'npm run loop && true',
};

test('a command is the chain of what it really runs, through scripts and their neighbours', () => {
  expect(chainOf('npm run test', scripts)).toEqual(['biome check .', 'tsc --noEmit', 'vitest run', 'echo done']);
  expect(chainOf('node --test', scripts)).toEqual(['node --test']);
  expect(chainOf('FOO="a && b" node -e "x;y" && (cd a && b); c', {})).toEqual([
    'FOO="a && b" node -e "x;y"',
    '(cd a && b)',
    'c',
  ]);
  expect(chainOf('npm run loop', scripts).length).toBeGreaterThan(1);
});

test.each([
  ['node --test', true],
  ['./run-tests.sh', true],
  ['lint && node --test', true],
  ['tsc --noEmit && npx vitest run --coverage', true],
  ['node --test && lint', false],
  ['node --test; lint', false],
  ['node --test unit && node --test e2e', false],
  ['./unit.sh && ./e2e.sh', false],
  ['lint || node --test && true', false],
])('whether `%s` can only have failed in its tests is %s', (command, ends) => {
  expect(endsInItsTests(chainOf(command, {}))).toBe(ends);
});
