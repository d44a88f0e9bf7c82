/** The settings of the orchestrator. */
import { catalogConfig } from '@nexus/shared/catalog';
import { defineConfig, is, setting } from '@nexus/shared/config';

export const config = defineConfig({
  ...catalogConfig,
  slots: setting('NEXUS_ORCHESTRATOR_SLOTS', is.count(1, 1000), 'How many messages it handles at a time.', {
    default: '32',
  }),
});
