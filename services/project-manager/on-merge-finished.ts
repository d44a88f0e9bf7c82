/** A candidate is in: its dependents start from it, the next one goes to the gate. The decision is `board.ts`'s. */
import type { Handler } from '@nexus/shared/bus';
import { type Tools, transition } from './transition.ts';

export const onMergeFinished: Handler<'merge.finished', Tools> = (message, tools) => transition(message, tools);
