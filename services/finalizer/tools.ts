/** What the finalizer hands to its handlers beside the bus's own tools. */
import type { ServiceTools } from '@nexus/shared/service';
import type { FinalizerConfig } from './config.ts';
import type { ReleaseTarget } from './define-target.ts';

export type FinalizerTools = ServiceTools & {
  config: FinalizerConfig;
  targets: readonly ReleaseTarget[];
  redact(text: string): string;
  /** Whether the paths here are those of a container; by default this process looks. */
  isInContainer?: (command: string | undefined) => boolean;
};
