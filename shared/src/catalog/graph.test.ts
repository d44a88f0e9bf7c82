import fc from 'fast-check';
import { expect, test } from 'vitest';
import { graphProblems } from './graph.ts';

const node = (id: string, ...depends_on: string[]) => ({ id, depends_on });
const says = (...input: Parameters<typeof graphProblems>) => graphProblems(...input).map((problem) => problem.says);

test('a graph that can be worked through has no problems', () => {
  expect(graphProblems([node('c', 'a', 'b'), node('a'), node('b', 'a')])).toEqual([]);
});

test('new subtasks may depend on those of the board, but not repeat them', () => {
  expect(graphProblems([node('new', 'plan')], ['plan'])).toEqual([]);
  expect(says([node('plan')], ['plan'])).toEqual([
    'the id "plan" is taken by a subtask that the board has; choose another',
  ]);
  expect(says([node('a'), node('a')], ['plan'])).toEqual(['the id "a" occurs twice']);
});

test('a cycle is told without the nodes that merely lead into it', () => {
  const problems = graphProblems([node('in', 'a'), node('a', 'b'), node('b', 'c'), node('c', 'a')]);
  expect(problems).toEqual([{ path: [1, 'depends_on'], says: 'the dependencies form a cycle: a → b → c → a' }]);
});

test('a graph whose arrows all point backwards never has a cycle, and one arrow forward closes it', () => {
  const sizes = fc.integer({ min: 2, max: 12 });
  fc.assert(
    fc.property(sizes, fc.array(fc.tuple(fc.nat(), fc.nat()), { maxLength: 40 }), (size, arrows) => {
      const needs = Array.from({ length: size }, (_, at) => (at === 0 ? [] : [`n${at - 1}`]));
      for (const [from, to] of arrows) {
        const later = (from % (size - 1)) + 1;
        needs[later]?.push(`n${to % later}`);
      }
      const nodes = needs.map((depends_on, at) => ({ id: `n${at}`, depends_on }));
      expect(graphProblems(nodes)).toEqual([]);
      needs[0]?.push(`n${size - 1}`);
      expect(says(nodes)).toEqual([expect.stringContaining('cycle')]);
    }),
  );
});
