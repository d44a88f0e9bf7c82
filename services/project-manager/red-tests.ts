/**
 * Tests that were written first may stay red until somebody implements what they ask for. The list travels
 * with the subtask that wrote them: a candidate may leave them red only while another direct dependent of
 * that subtask still has code to write; the last one must make them green, and none may be left at the end.
 */
import { endedSubtask, type Subtask } from '@nexus/shared/messages/domain';
import type { Draft } from './draft.ts';

const testsMax = 200;

/** The red tests that the candidate of this subtask may leave red. */
export const allowedRed = (draft: Draft, candidate: Subtask): string[] => {
  const tests = draft.parts(draft.head.red).flatMap((author) => {
    const others = draft.parts(author.dependents).filter((part) => part.id !== candidate.id && part.kind === 'code');
    return others.some((part) => !endedSubtask(part.state)) ? author.red : [];
  });
  return [...new Set(tests)].slice(0, testsMax);
};

/** Books what a merged candidate left red: its own new tests, and what is left of those before. */
export const bookRed = (draft: Draft, merged: Subtask, proven: boolean): void => {
  const stillRed = new Set(merged.red);
  const authors = draft.parts(draft.head.red);
  const own = merged.red.filter((test) => !authors.some((author) => author.red.includes(test)));
  // A gate that ran nothing has not seen any test turn green.
  if (proven) for (const { id, red } of authors) draft.change(id, { red: red.filter((test) => stillRed.has(test)) });
  draft.change(merged.id, { red: merged.kind === 'tests_first' ? own : [] });
  const red = [...draft.head.red, merged.id].filter((id) => draft.part(id).red.length > 0);
  if (red.join() !== draft.head.red.join()) draft.changeHead({ red });
};
