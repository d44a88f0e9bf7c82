/** The project manager's settings: how far it lets a subtask go before it gives up. */
import { catalogConfig } from '@nexus/shared/catalog';
import { type ConfigOf, defineConfig, is, setting } from '@nexus/shared/config';

const limits = defineConfig({
  taskAgentsMax: setting('NEXUS_TASK_AGENTS_MAX', is.count(1, 1000), 'How many agents work on one task at a time.', {
    default: '8',
  }),
  subtasksMax: setting('NEXUS_SUBTASKS_MAX', is.count(1, 500), 'How many subtasks a plan may grow a board to.', {
    default: '200',
  }),
  attemptsMax: setting('NEXUS_ATTEMPTS_MAX', is.count(1, 100), 'How many attempts of a subtask may fail.', {
    default: '3',
  }),
  sentBackMax: setting(
    'NEXUS_SENT_BACK_MAX',
    is.count(0, 100),
    'How often a gate or a conflict may send a subtask back.',
    { default: '3' },
  ),
  gateBrokenMax: setting('NEXUS_GATE_BROKEN_MAX', is.count(0, 100), 'How often a broken gate is run again.', {
    default: '2',
  }),
  planRejectionsMax: setting('NEXUS_PLAN_REJECTIONS_MAX', is.count(0, 100), 'How often an invalid plan goes back.', {
    default: '2',
  }),
});

export const config = defineConfig({ ...limits, ...catalogConfig });

/** The limits that the board is driven by. */
export type Rules = ConfigOf<typeof limits> & {
  /** The wait before a second attempt: the one that every service has. */
  readonly retryBaseMs: number;
  /** How many ready subtasks the head of a board lists; it is read and written by every transition. */
  readonly readyListedMax: number;
};
