/**
 * The quality checker: really runs what a project declares on the merge of a candidate, and says what came of it.
 *
 * Read on-candidate-submitted.ts → candidate.ts → gate.ts → detect.ts → run-checks.ts → counts.ts → verdict.ts. A new
 * check is one file in `checks/`.
 */
import { secretValues } from '@nexus/shared/config';
import { defineService, type ServiceContext, serve } from '@nexus/shared/service';
import { openRedactor } from '@nexus/shared/telemetry';
import { config } from './config.ts';
import { loadChecks } from './define-check.ts';
import { onCandidateSubmitted } from './on-candidate-submitted.ts';
import type { CheckerTools } from './tools.ts';

const open = async (context: ServiceContext<typeof config>): Promise<CheckerTools> => ({
  config: context.config,
  definitions: await loadChecks(),
  redact: openRedactor(secretValues()).text,
});

export const service = defineService({
  name: 'quality-checker',
  config,
  mode: 'take',
  slots: (settings) => settings.slots,
  open,
  handlers: { 'candidate.submitted': onCandidateSubmitted },
});

if (import.meta.main) await serve(service);
