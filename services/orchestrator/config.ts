/** The settings of the orchestrator: how much it does at a time, and how long it holds on to what it has. */
import { catalogConfig } from '@nexus/shared/catalog';
import { defineConfig, is, setting } from '@nexus/shared/config';
import { askConfig } from '@nexus/shared/model';
import { spendConfig } from '@nexus/shared/spend';

export const config = defineConfig({
  ...catalogConfig,
  ...askConfig,
  ...spendConfig,
  retries: setting(
    'NEXUS_RETRIES',
    is.count(0, 100),
    'How often a subtask is tried again after an attempt that failed, with a wait that doubles.',
    { default: '3' },
  ),
  otherAgentsMax: setting(
    'NEXUS_OTHER_AGENTS_MAX',
    is.count(0, 10),
    'How many other agents or runtimes then try it, once each, before it is planned anew or a person is asked.',
    { default: '1' },
  ),
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
