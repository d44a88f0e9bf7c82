/** The settings of the finalizer. */
import { type ConfigOf, defineConfig, type FabricConfig, is, setting } from '@nexus/shared/config';

export const config = defineConfig({
  slots: setting('NEXUS_RELEASES', is.count(1, 64), 'How many merges and releases a finalizer does side by side.', {
    default: '4',
  }),
  gitCredentials: setting(
    'NEXUS_GIT_CREDENTIALS',
    is.optionalText,
    'Access to private repositories, to fetch from them and push results: https://user:token@host, one a line.',
    { secret: true },
  ),
  output: setting(
    'NEXUS_OUTPUT',
    is.optionalText,
    'The folder for the repositories of tasks that name none; without it `repositories` in NEXUS_HOME.',
  ),
});

export type FinalizerConfig = ConfigOf<typeof config> & FabricConfig;
