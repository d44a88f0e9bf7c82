/** A question before something that touches many: asked on a terminal, else `--yes` has to be said. */
import { CommandFailure } from './exit-codes.ts';
import type { Tools } from './tools.ts';

/** Returns after a yes. Throws where the answer is no, and where nobody can be asked. */
export const confirm = async ({ ask, output }: Pick<Tools, 'ask' | 'output'>, question: string, yes: boolean) => {
  if (yes) return;
  if (ask === null || output.json) {
    throw new CommandFailure('usage', `${question} There is no terminal to ask on, so say it with --yes.`);
  }
  const answer = (await ask(`${question} [y/N] `)).trim().toLowerCase();
  if (!['y', 'yes'].includes(answer)) throw new CommandFailure('refused', 'Nothing was done.', { code: 'DECLINED' });
};
