/** The task has ended elsewhere: nothing of its board may start any more. The decision is `board.ts`'s. */
import type { Handler } from '@nexus/shared/bus';
import { type Tools, transition } from './transition.ts';

export const onBoardCancelled: Handler<'board.cancelled', Tools> = (message, tools) => transition(message, tools);
