/** The gate has decided: the candidate is merged, goes back, or is tested again. The decision is `board.ts`'s. */
import type { Handler } from '@nexus/shared/bus';
import { type Tools, transition } from './transition.ts';

export const onVerdictReached: Handler<'verdict.reached', Tools> = (message, tools) => transition(message, tools);
