/**
 * The finalizer: makes hubs, merges what was tested, releases results and reports on them. It alone holds push
 * credentials.
 *
 * Read on-repository-requested.ts → on-merge-requested.ts → on-release-requested.ts → release.ts → report.ts. A new
 * release target is one file in `targets/`.
 */
import { secretValues } from '@nexus/shared/config';
import { sweepScratch } from '@nexus/shared/git';
import { defineService, type ServiceContext, serve } from '@nexus/shared/service';
import { openRedactor } from '@nexus/shared/telemetry';
import { config } from './config.ts';
import { loadTargets } from './define-target.ts';
import { sweepHalfMade } from './leftovers.ts';
import { onHubDiscarded } from './on-hub-discarded.ts';
import { onHubExpired } from './on-hub-expired.ts';
import { onMergeRequested } from './on-merge-requested.ts';
import { onReleaseRequested } from './on-release-requested.ts';
import { onRepositoryRequested } from './on-repository-requested.ts';
import { hostsOf } from './repository.ts';
import type { FinalizerTools } from './tools.ts';

const sweepEveryMs = 3_600_000;

const open = async ({ config: settings, bus, log }: ServiceContext<typeof config>): Promise<FinalizerTools> => {
  const credentials = settings.gitCredentials;
  // A gateway without credentials asks whether somebody has them.
  bus.present({ credentials_for: hostsOf(credentials) });
  const secrets = [...secretValues(), ...(credentials ? credentials.split('\n') : []), ...passwordsIn(credentials)];
  const sweep = async () => {
    const removed = [...(await sweepScratch()), ...(await sweepHalfMade(settings, Date.now()))];
    if (removed.length > 0) log.info({ removed }, 'folders that killed processes left behind were removed');
  };
  const trySweep = () => void sweep().catch((err: unknown) => log.warn({ err }, 'a sweep of leftovers failed'));
  trySweep();
  const timer = setInterval(trySweep, sweepEveryMs);
  const close = async () => clearInterval(timer);
  return { config: settings, targets: await loadTargets(), redact: openRedactor(secrets).text, close };
};

const passwordsIn = (credentials: string | undefined): string[] =>
  (credentials ?? '')
    .split(/\s+/)
    .filter((line) => URL.canParse(line))
    .flatMap((line) => [new URL(line).password, decodeURIComponent(new URL(line).password)]);

export const service = defineService({
  name: 'finalizer',
  config,
  mode: 'take',
  slots: (settings) => settings.slots,
  open,
  handlers: {
    'repository.requested': onRepositoryRequested,
    'merge.requested': onMergeRequested,
    'release.requested': onReleaseRequested,
    'hub.expired': onHubExpired,
    'hub.discarded': onHubDiscarded,
  },
});

if (import.meta.main) await serve(service);
