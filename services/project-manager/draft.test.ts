import { expect, test } from 'vitest';
import { openMemoryLedger } from '../../test/tools/board.ts';
import { play } from '../../test/tools/play.ts';
import { Missing, openDraft } from './draft.ts';

const drafted = (ids: readonly string[]) => {
  const game = play([{ id: 'one' }, { id: 'two' }]);
  const view = game.ledger.view('task', ids);
  if (!view.board) throw new Error('no board');
  return openDraft(view, view.board, 0);
};

test('a move that is not drawn is refused: TRANSITION_ILLEGAL', () => {
  const draft = drafted(['one']);
  expect(() => draft.change('one', { state: 'merged' })).toThrow(
    expect.objectContaining({ code: 'TRANSITION_ILLEGAL', message: 'Subtask one cannot go from ready to merged.' }),
  );
});

test('what was not read is asked for, what was read and is not there does not exist', () => {
  const draft = drafted(['one', 'nobody']);
  expect(draft.find('nobody')).toBeNull();
  expect(() => draft.part('nobody')).toThrow('the board of task has no subtask nobody');
  const asked = (ask: () => unknown): unknown => {
    try {
      return ask();
    } catch (missing) {
      return missing;
    }
  };
  expect(asked(() => draft.part('two'))).toEqual(new Missing(['two']));
  expect(asked(() => draft.parts(['one', 'two', 'three']))).toEqual(new Missing(['two', 'three']));
  expect(asked(() => draft.all())).toEqual(new Missing('all'));
  expect(asked(() => draft.slots())).toEqual(new Missing([], 'slots'));
  expect(asked(() => draft.task())).toEqual(new Missing([], 'task'));
});

test('the counts follow the parts, and the view stays as it was', () => {
  const draft = drafted(['one']);
  const before = draft.head;
  draft.change('one', { state: 'working' });
  expect(draft.head.counts).toEqual({ ready: 1, working: 1 });
  expect(before.counts).toEqual({ ready: 2 });
  expect(draft.decision()).toMatchObject({ subtasks: [{ id: 'one', state: 'working' }], removed: [] });
});

test('a draft that nothing was changed in is untouched', () => {
  const draft = drafted(['one']);
  draft.part('one');
  expect(draft.isTouched()).toBe(false);
  expect(draft.decision().head).toBeUndefined();
  expect(openMemoryLedger().boards.size).toBe(0);
});
