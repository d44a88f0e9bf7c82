/** The project manager's settings: how far it lets a subtask go before it gives up. */
import { catalogConfig } from '@nexus/shared/catalog';
import { type ConfigOf, defineConfig, is, setting } from '@nexus/shared/config';
import { memoryConfig } from '@nexus/shared/memory';
import { embedConfig } from '@nexus/shared/model';
import { spendConfig } from '@nexus/shared/spend';

const limits = defineConfig({
  taskAgentsMax: setting('NEXUS_TASK_AGENTS_MAX', is.count(1, 1000), 'How many agents work on one task at a time.', {
    default: '8',
  }),
  subtasksMax: setting('NEXUS_SUBTASKS_MAX', is.count(1, 500), 'How many subtasks a plan may grow a board to.', {
    default: '200',
  }),
  retries: setting(
    'NEXUS_RETRIES',
    is.count(0, 100),
    'How often a subtask is tried again after an attempt that failed, with a wait that doubles.',
    { default: '3' },
  ),
  retryWaitMax: setting(
    'NEXUS_RETRY_WAIT_MAX',
    is.duration,
    'How long a subtask waits for its next attempt, or a broken gate for its next run, at most.',
    { default: '5m' },
  ),
  otherAgentsMax: setting(
    'NEXUS_OTHER_AGENTS_MAX',
    is.count(0, 10),
    'How many other agents or runtimes then try it, once each, before it is planned anew or a person is asked.',
    { default: '1' },
  ),
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

export const config = defineConfig({ ...limits, ...catalogConfig, ...memoryConfig, ...embedConfig, ...spendConfig });

/** The limits that the board is driven by. */
export type Rules = Omit<ConfigOf<typeof limits>, 'retryWaitMax'> & {
  readonly retryWaitMaxMs: number;
  /** The wait before a second attempt: the one that every service has. */
  readonly retryBaseMs: number;
  /** How many ready subtasks the head of a board lists; it is read and written by every transition. */
  readonly readyListedMax: number;
};
