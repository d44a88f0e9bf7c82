/** Before the tests of a project: installs the CLI of Claude Code where it is missing, outside of any test's time. */
import { provideClaude } from '../../scripts/provide-claude.mjs';

export const setup = (): void => {
  try {
    provideClaude();
  } catch (error) {
    // Tests that need it fail, each by its name; all others have nothing to do with it.
    console.error((error as Error).message);
  }
};
