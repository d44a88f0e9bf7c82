/** A worker runs an attempt: its subtask is in work. The decision is `board.ts`'s. */
import type { Handler } from '@nexus/shared/bus';
import { type Tools, transition } from './transition.ts';

export const onAttemptBegun: Handler<'attempt.begun', Tools> = (message, tools) => transition(message, tools);
