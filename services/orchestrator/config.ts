/** The settings of the orchestrator: how much it does at a time, and how long it holds on to what it has. */
import { catalogConfig } from '@nexus/shared/catalog';
import { defineConfig, is, setting } from '@nexus/shared/config';

export const config = defineConfig({
  ...catalogConfig,
  slots: setting('NEXUS_ORCHESTRATOR_SLOTS', is.count(1, 1000), 'How many messages it handles at a time.', {
    default: '32',
  }),
  plansMax: setting(
    'NEXUS_PLANS_MAX',
    is.count(0, 10),
    'How many new plans are made for a subtask that fails in every attempt, before a person is asked.',
    { default: '1' },
  ),
  personTimeout: setting('NEXUS_PERSON_TIMEOUT', is.duration, 'How long a task waits for a person before it fails.', {
    default: '7d',
  }),
  retention: setting(
    'NEXUS_RETENTION',
    is.duration,
    'How long the hub of an ended task is kept, with its evidence. The report and the result stay.',
    { default: '30d' },
  ),
});
