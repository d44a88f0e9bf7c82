/** What the quality checker hands to its handlers beside the bus's own tools. */
import type { Sandbox } from '@nexus/shared/process';
import type { ServiceTools } from '@nexus/shared/service';
import type { CheckerConfig } from './config.ts';
import type { CheckDefinition } from './define-check.ts';

export type CheckerTools = ServiceTools & {
  config: CheckerConfig;
  definitions: readonly CheckDefinition[];
  /** What set-ups and checks are started in; null: as they are. Their code is what an agent wrote. */
  sandbox: Sandbox | null;
  redact(text: string): string;
  /** Looks for what killed checkers left, beside the work: never waits, never throws. */
  sweep(): void;
};
