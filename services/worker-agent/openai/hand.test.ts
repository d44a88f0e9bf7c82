import { expect, test } from 'vitest';
import { toolsOf } from './hand.ts';

const namesOf = (named: string[], forbidden?: string[]) => {
  const { tools, onlyNotes } = toolsOf(named, forbidden);
  return [tools.map(({ name }) => name).sort(), onlyNotes];
};

test('an agent that names no tools has all of them, but for what it forbids', () => {
  expect(namesOf([])).toEqual([['edit', 'finish', 'list', 'read', 'run', 'search', 'write'], false]);
  expect(namesOf([], ['Bash', 'Bash(git push*)'])).toEqual([
    ['edit', 'finish', 'list', 'read', 'search', 'write'],
    false,
  ]);
  expect(namesOf([], ['Bash(git push*)'])).toEqual(namesOf([]));
});

test('an agent that may change no files may leave notes all the same', () => {
  expect(namesOf(['Read'])).toEqual([['finish', 'list', 'read', 'write'], true]);
  expect(namesOf(['Read', 'Edit', 'Write'], ['Edit', 'Write'])).toEqual([['finish', 'list', 'read', 'write'], true]);
});
