/** The wait before a subtask's next attempt is over. The decision is `board.ts`'s. */
import type { Handler } from '@nexus/shared/bus';
import { type Tools, transition } from './transition.ts';

export const onBackoffElapsed: Handler<'backoff.elapsed', Tools> = (message, tools) => transition(message, tools);
