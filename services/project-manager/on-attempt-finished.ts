/** An attempt has ended: its subtask goes on, goes to the gate, or is tried again. The decision is `board.ts`'s. */
import type { Handler } from '@nexus/shared/bus';
import { type Tools, transition } from './transition.ts';

export const onAttemptFinished: Handler<'attempt.finished', Tools> = (message, tools) => transition(message, tools);
