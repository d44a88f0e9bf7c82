import { expect, test } from 'vitest';
import type { Finding } from './look.ts';
import { functionsOf, treeOf } from './source.ts';
import { rules } from './tidy.ts';

/** Samples name what the rules forbid, and this file is read by them too: words are put together here. */
const word = (...parts: string[]): string => parts.join('');
const lines = (count: number, line = 'void 0;'): string => Array.from({ length: count }, () => line).join('\n');

type Sample = { bad: [path: string, text: string][]; at: string; good: [path: string, text: string][] };

const header = '#!lua\n-- Purpose: moves.\n-- KEYS: 1 park, 2 due.\n-- ARGV: id.\n-- Returns: 1.\n';

/** Per rule: a tree that breaks it, where the finding points, and a tree next to it that does not. */
const samples: Record<string, Sample> = {
  levels: {
    bad: [['shared/src/errors/errors.ts', "\nimport { x } from '@nexus/shared/bus';"]],
    at: 'shared/src/errors/errors.ts:2',
    good: [['shared/src/bus/bus.ts', "import { x } from '@nexus/shared/errors';"]],
  },
  doors: {
    bad: [['shared/src/git/git.ts', "import { run } from '../process/run.ts';"]],
    at: 'shared/src/git/git.ts:1',
    good: [['services/finalizer/main.ts', "import { release } from './release.ts';"]],
  },
  'services apart': {
    bad: [['services/gateway/main.ts', "import { x } from '@nexus/orchestrator/decide.ts';"]],
    at: 'services/gateway/main.ts:1',
    good: [['services/gateway/main.ts', "import { x } from '@nexus/shared/bus';"]],
  },
  'one library, one module': {
    bad: [['services/gateway/main.ts', "import { Redis } from 'ioredis';"]],
    at: 'services/gateway/main.ts:1',
    good: [['shared/src/bus/redis.ts', "import { Redis } from 'ioredis';\nimport { z } from 'zod';"]],
  },
  'one writer': {
    bad: [['services/gateway/main.ts', 'const write = writeBoard(keys, id, 1, {});']],
    at: 'services/gateway/main.ts:1',
    good: [['services/project-manager/board.ts', 'const write = writeBoard(keys, id, 1, {});']],
  },
  'XCLAIM in three scripts': {
    bad: [['shared/src/bus/claims.ts', "await redis.call('XCLAIM', key);"]],
    at: 'shared/src/bus/claims.ts:1',
    good: [['shared/src/bus/scripts/take-6.lua', "redis.call('XCLAIM', KEYS[1])"]],
  },
  'git by its door': {
    bad: [['services/finalizer/release.ts', `const made = await run({ command: [${word("'gi", "t'")}, 'init'] });`]],
    at: 'services/finalizer/release.ts:1',
    good: [
      ['shared/src/git/run-git.ts', `const command = [${word("'gi", "t'")}, ...args];`],
      ['services/cli/doctor.ts', `await outputOf([${word("'gi", "t'")}, '--version'])`],
    ],
  },
  environment: {
    bad: [['services/gateway/main.ts', '// process.env in a comment\nconst port = process.env.PORT;']],
    at: 'services/gateway/main.ts:2',
    good: [['shared/src/config/config.ts', 'const environment = process.env;']],
  },
  console: {
    bad: [['shared/src/bus/bus.ts', 'console.log(1);']],
    at: 'shared/src/bus/bus.ts:1',
    good: [['services/cli/tasks.ts', 'console.log(1);']],
  },
  'file length': {
    bad: [['shared/src/bus/bus.ts', `${lines(401)}\n`]],
    at: 'shared/src/bus/bus.ts:1',
    good: [['shared/src/bus/bus.ts', `${lines(400)}\n`]],
  },
  'function length': {
    bad: [
      [
        'shared/src/bus/bus.ts',
        `const a = 1;\nconst long = (\n  a: number,\n): void => {\n${lines(69, '  void 0;')}\n};\n`,
      ],
    ],
    at: 'shared/src/bus/bus.ts:4',
    good: [['shared/src/bus/bus.ts', `const fits = () => {\n${lines(68, '  void 0;')}\n};\n${lines(80)}`]],
  },
  'line length': {
    bad: [['shared/src/bus/bus.ts', `\n// ${'x'.repeat(120)}`]],
    at: 'shared/src/bus/bus.ts:2',
    good: [['shared/src/bus/bus.ts', `// ${'é'.repeat(117)}`]],
  },
  'dead file': {
    bad: [['shared/src/bus/left.ts', 'export const a = 1;']],
    at: 'shared/src/bus/left.ts:1',
    good: [
      ['shared/package.json', '{ "exports": { "./bus": "./src/bus/bus.ts" } }'],
      ['shared/src/bus/bus.ts', "import { a } from './left.ts';\nredis.nexusTake();"],
      ['shared/src/bus/left.ts', 'export const a = 1;'],
      ['shared/src/bus/scripts/take-6.lua', header],
    ],
  },
  'lua scripts': {
    bad: [['shared/src/bus/scripts/take-3.lua', `${header}redis.call('GET', KEYS[1])`]],
    at: 'shared/src/bus/scripts/take-3.lua:1',
    good: [['shared/src/bus/scripts/take-2.lua', `${header}redis.call('GET', KEYS[2])`]],
  },
  unfinished: {
    bad: [['shared/src/bus/bus.ts', `\n\n// ${word('TO', 'DO')}: later`]],
    at: 'shared/src/bus/bus.ts:3',
    good: [['shared/src/bus/bus.ts', '// A to-do list is a list.']],
  },
  'tests that run': {
    bad: [['shared/src/bus/bus.test.ts', `${word('test.', 'only')}('this alone', () => {});`]],
    at: 'shared/src/bus/bus.test.ts:1',
    good: [['shared/src/bus/bus.test.ts', "test.skipIf(missing)('needs git', () => {});"]],
  },
  names: {
    bad: [['shared/src/bus/helpers.ts', '']],
    at: 'shared/src/bus/helpers.ts:1',
    good: [['shared/src/bus/typesetting.ts', '']],
  },
  'kebab-case': {
    bad: [['shared/src/bus/takeOver.ts', '']],
    at: 'shared/src/bus/takeOver.ts:1',
    good: [['shared/src/bus/take-over.ts', '']],
  },
  'no star exports': {
    bad: [['shared/src/bus/bus.ts', "export * from './keys.ts';"]],
    at: 'shared/src/bus/bus.ts:1',
    good: [['shared/src/bus/bus.ts', "export { keys } from './keys.ts';"]],
  },
  'every error is tested': {
    bad: [['shared/src/errors/registry.ts', '\nexport const registry = {\n  BUS_FULL: {\n  },\n};']],
    at: 'shared/src/errors/registry.ts:3',
    good: [
      ['shared/src/errors/registry.ts', 'export const registry = {\n  BUS_FULL: {\n  },\n};'],
      ['shared/src/bus/bus.test.ts', "expect(error.code).toBe('BUS_FULL');"],
    ],
  },
  'every fabric rule is tested': {
    bad: [
      [
        'test/integration/take.test.ts',
        `test('takes (rules ${lines(30, '1')
          .split('\n')
          .map((_, at) => at + 1)
          .join(', ')})')`,
      ],
    ],
    at: 'test/integration:1',
    good: [
      [
        'test/integration/take.test.ts',
        `test('takes (rules ${Array.from({ length: 31 }, (_, at) => at + 1).join(', ')})')`,
      ],
    ],
  },
};

const places = (name: string, files: [string, string][]): string[] =>
  (rules.find((rule) => rule.name === name)?.find(treeOf(files)) ?? []).map(
    ({ path, line }: Finding) => `${path}:${line}`,
  );

test('every rule has a sample', () => {
  expect(rules.map(({ name }) => name).sort()).toEqual(Object.keys(samples).sort());
});

test.each(Object.entries(samples))('%s: a bad sample is found where it stands, a good one passes', (name, sample) => {
  expect(places(name, sample.bad)).toEqual([sample.at]);
  expect(places(name, sample.good)).toEqual([]);
});

test('a script that uses more keys than its name says is found, and so is one without a header', () => {
  expect(places('lua scripts', [['a/take-2.lua', `${header}redis.call('GET', KEYS[3])`]])).toHaveLength(1);
  expect(places('lua scripts', [['a/take-2.lua', "redis.call('GET', KEYS[1])"]])).toHaveLength(1);
  expect(places('lua scripts', [['a/take.lua', header]])).toHaveLength(1);
});

test('what stands in strings, templates, patterns and comments is not code', () => {
  const text = [
    "const a = 'x { y'; // {",
    // biome-ignore lint/suspicious/noTemplateCurlyInString: the sample is source text
    'const b = `t ${a ? `u ${`v {`}` : "{"} { w`;',
    'const c = /[/{]{2}/.test(a) ? 1 / 2 : 3;',
    '/* { */',
    'const d = () => {',
    '  return 1;',
    '};',
  ].join('\n');
  const file = treeOf([['scripts/sample.ts', text]]).get('scripts/sample.ts');
  if (!file) throw new Error('no file');
  expect(file.bare.join('\n').match(/[{}]/g)).toEqual(['{', '{', '}', '}', '{', '}']);
  expect(functionsOf(file)).toEqual([{ line: 5, lines: 3, name: 'd' }]);
});
