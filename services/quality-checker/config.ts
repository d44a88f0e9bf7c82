/** The settings of the quality checker. */
import { type ConfigOf, defineConfig, type FabricConfig, is, setting } from '@nexus/shared/config';
import { projectConfig, sandboxConfig } from '@nexus/shared/project';

export const config = defineConfig({
  ...projectConfig,
  ...sandboxConfig,
  slots: setting('NEXUS_GATES', is.count(1, 64), 'How many candidates a quality checker tests side by side.', {
    default: '2',
  }),
  checkTimeoutMs: setting('NEXUS_CHECK_TIMEOUT', is.duration, 'A check that takes longer is ended and has failed.', {
    default: '10m',
  }),
  checkOutputMax: setting('NEXUS_CHECK_OUTPUT_MAX', is.bytes, 'A check that writes more output is ended.', {
    default: '50MB',
  }),
  checkLogMax: setting(
    'NEXUS_CHECK_LOG_MAX',
    is.bytes,
    'So much of a check’s output is kept as evidence: its beginning and its end.',
    { default: '2MB' },
  ),
});

export type CheckerConfig = ConfigOf<typeof config> & FabricConfig;
