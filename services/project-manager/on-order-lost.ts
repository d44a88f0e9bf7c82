/** What was asked for went with a deleted stream: it is asked for again. The decision is `board.ts`'s. */
import type { Handler } from '@nexus/shared/bus';
import { type Tools, transition } from './transition.ts';

export const onOrderLost: Handler<'order.lost', Tools> = (message, tools) => transition(message, tools);
