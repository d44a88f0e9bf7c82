/**
 * The real CLI of Claude Code for tests: the one that NEXUS_CLAUDE_PROGRAM names, else ours, which is installed into a
 * cache folder of the person the first time it is needed. It is too large to come with every `npm ci`.
 */
import { provideClaude } from '../../scripts/provide-claude.mjs';

let found: string | undefined;

/** Its path. Throws, with what to type, where it cannot be had. */
export const claudeProgram = (): string => {
  found ??= provideClaude();
  return found;
};
