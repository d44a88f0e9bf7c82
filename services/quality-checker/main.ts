/**
 * The quality checker: really runs what a project declares on the merge of a candidate, and says what came of it.
 *
 * Read on-candidate-submitted.ts → earlier.ts → candidate.ts → gate.ts → detect.ts → run-checks.ts → counts.ts →
 * verdict.ts. A new check is one file in `checks/`.
 */
import { secretValues } from '@nexus/shared/config';
import { sweepScratch } from '@nexus/shared/git';
import { openFence } from '@nexus/shared/project';
import { defineService, type ServiceContext, serve } from '@nexus/shared/service';
import { openRedactor } from '@nexus/shared/telemetry';
import { config } from './config.ts';
import { loadChecks } from './define-check.ts';
import { sweepGates } from './leftovers.ts';
import { onCandidateSubmitted } from './on-candidate-submitted.ts';
import type { CheckerTools } from './tools.ts';

const sweepEveryMs = 3_600_000;

const open = async ({ config: settings, bus, log }: ServiceContext<typeof config>): Promise<CheckerTools> => {
  const definitions = await loadChecks();
  const { places, says } = await openFence(settings, { ground: 'gates' });
  bus.present({ sandbox: says });
  // As agents' set-ups have it: what a project installs and tests may need the network, whatever agents have.
  const sandbox = places && { ...places, network: true };
  const sweep = async () => {
    const of = { home: settings.home, prefix: bus.keys.prefix, now: Date.now(), isClaimed: bus.isClaimed };
    const removed = (await sweepGates(of)) + (await sweepScratch()).length;
    if (removed > 0) log.info({ removed }, 'folders that killed processes left behind were removed');
  };
  const trySweep = () => void sweep().catch((err: unknown) => log.warn({ err }, 'a sweep of leftovers failed'));
  trySweep();
  const timer = setInterval(trySweep, sweepEveryMs);
  const close = async () => clearInterval(timer);
  const { text: redact } = openRedactor(secretValues());
  return { config: settings, definitions, sandbox, redact, sweep: trySweep, close };
};

export const service = defineService({
  name: 'quality-checker',
  config,
  mode: 'take',
  slots: (settings) => settings.slots,
  open,
  handlers: { 'candidate.submitted': onCandidateSubmitted },
});

if (import.meta.main) await serve(service);
