import { isFailure } from '@nexus/shared/errors';
import { describe, expect, test } from 'vitest';
import { parseScenario, stepsFor } from './scenario.ts';

const good = `
name: Two attempts
subtasks:
  storage:
    - - say: I write the storage.
      - write: { src/storage.js: "export const links = new Map();\\n" }
      - crash: SIGKILL
    - - run: node --test
        allow_fail: true
      - report: { summary: Storage in memory. }
  builder:
    - - say: any builder
`;

const problemOf = (text: string): string => {
  try {
    parseScenario(text);
  } catch (thrown) {
    if (isFailure(thrown, 'SCENARIO_INVALID')) return thrown.message;
    throw thrown;
  }
  throw new Error('it was accepted');
};

describe('a scenario', () => {
  test('is read with its attempts and steps, at speed 1', () => {
    const scenario = parseScenario(good);
    expect(scenario).toMatchObject({ name: 'Two attempts', speed: 1 });
    expect(scenario.subtasks.storage?.map((attempt) => attempt.length)).toEqual([3, 2]);
  });

  test('is found by subtask, then role, then agent; the last attempt repeats', () => {
    const scenario = parseScenario(good);
    const storage = { subtaskId: 'storage', role: 'builder', agentId: 'code_developer' };
    expect(stepsFor(scenario, storage, 1)?.[2]).toEqual({ crash: 'SIGKILL' });
    expect(stepsFor(scenario, storage, 2)).toEqual(stepsFor(scenario, storage, 7));
    expect(stepsFor(scenario, { ...storage, subtaskId: 'other' }, 1)).toEqual([{ say: 'any builder' }]);
    expect(stepsFor(scenario, { ...storage, subtaskId: 'other', role: 'tester' }, 1)).toBeNull();
  });
});

describe('a mistake is told with its line', () => {
  test.each([
    ['YAML that does not parse', 'name: x\nsubtasks:\n  a:\n    - - say: "open\n', /line [45]/],
    ['an unknown action', 'name: x\nsubtasks:\n  a:\n    - - say: hi\n      - wrte: { a: b }\n', /line 5.*wrte.*write/],
    [
      'two actions in one step',
      'name: x\nsubtasks:\n  a:\n    - - say: hi\n        run: ls\n',
      /line 4.*exactly one action/,
    ],
    ['a missing name', 'subtasks:\n  a:\n    - - say: hi\n', /line 1.*name/],
    ['a subtask without attempts', 'name: x\nsubtasks:\n  a: []\n', /line 3.*at least one attempt/],
    ['steps that are no list', 'name: x\nsubtasks:\n  a:\n    - say: hi\n', /line 4/],
    ['a step that is text', 'name: x\nsubtasks:\n  a:\n    - - hello\n', /line 4.*mapping with one action/],
    [
      'a path that leaves the workspace',
      'name: x\nsubtasks:\n  a:\n    - - write:\n          ../../etc: no\n',
      /line 5.*leaves/,
    ],
    ['an unknown signal', 'name: x\nsubtasks:\n  a:\n    - - crash: SIGNOPE\n', /line 4.*SIGKILL/],
    [
      'allow_fail without run',
      'name: x\nsubtasks:\n  a:\n    - - say: x\n        allow_fail: true\n',
      /line 4.*allow_fail/,
    ],
    ['an empty text', '', /line 1/],
    [
      'an alias bomb',
      `name: x\na: &a [1,1,1,1,1,1,1,1,1]\nb: &b [${'*a,'.repeat(60)}*a]\nc: [${'*b,'.repeat(60)}*b]\n`,
      /alias/,
    ],
  ])('%s', (_, text, pattern) => {
    expect(problemOf(text)).toMatch(pattern);
  });
});
