/** The settings of the quality checker. */
import { type ConfigOf, defineConfig, type FabricConfig, is, setting } from '@nexus/shared/config';

export const config = defineConfig({
  slots: setting('NEXUS_GATES', is.count(1, 64), 'How many candidates a quality checker tests side by side.', {
    default: '2',
  }),
  checkTimeoutMs: setting('NEXUS_CHECK_TIMEOUT', is.duration, 'A check that takes longer is ended and has failed.', {
    default: '10m',
  }),
  setupTimeoutMs: setting('NEXUS_SETUP_TIMEOUT', is.duration, 'A set-up command that takes longer is ended.', {
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
  diskReserve: setting('NEXUS_DISK_RESERVE', is.bytes, 'A gate begins only with so much free disk.', {
    default: '500MB',
  }),
});

export type CheckerConfig = ConfigOf<typeof config> & FabricConfig;
