/** The task was deleted: its board goes. The decision is `board.ts`'s. */
import type { Handler } from '@nexus/shared/bus';
import { type Tools, transition } from './transition.ts';

export const onBoardDiscarded: Handler<'board.discarded', Tools> = (message, tools) => transition(message, tools);
