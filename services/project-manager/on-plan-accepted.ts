/** A plan becomes the board of its task. The decision is `board.ts`'s. */
import type { Handler } from '@nexus/shared/bus';
import { type Tools, transition } from './transition.ts';

export const onPlanAccepted: Handler<'plan.accepted', Tools> = (message, tools) => transition(message, tools);
