/** The orchestrator has answered an escalation. The decision is `board.ts`'s. */
import type { Handler } from '@nexus/shared/bus';
import { type Tools, transition } from './transition.ts';

export const onEscalationAnswered: Handler<'escalation.answered', Tools> = (message, tools) =>
  transition(message, tools);
