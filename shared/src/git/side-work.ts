/** Work in a clone that its head does not hold: stashes, and branches that an agent made and left. */
import { pushRef } from './push.ts';
import { git } from './run-git.ts';

/** More names than this are not looked through; nobody makes so many by hand. */
const refsMax = 20;

/**
 * Pushes what no commit of `held` leads to, one ref each below `prefix`, and returns where it lies. A clone begins
 * without a branch of its own, so whatever is found was made there.
 */
export const pushSideWork = async (options: {
  folder: string;
  hub: string;
  held: string;
  prefix: string;
  signal?: AbortSignal | undefined;
}): Promise<{ from: string; ref: string }[]> => {
  const { folder, hub, held, prefix, signal } = options;
  const args = ['for-each-ref', `--no-merged=${held}`, '--format=%(objectname) %(refname)', 'refs/heads', 'refs/stash'];
  const lines = (await git(args, { at: { clone: folder }, signal })).split('\n').filter((line) => line !== '');
  const pushed: { from: string; ref: string }[] = [];
  for (const line of lines.slice(0, refsMax)) {
    const [commit = '', name = ''] = line.split(' ');
    const from = name.replace(/^refs\/(heads\/)?/, '');
    const ref = `${prefix}${from.replaceAll(/[^A-Za-z0-9-]+/g, '-')}-${commit.slice(0, 12)}`;
    await pushRef({ folder, hub, commit, ref, lease: null, signal });
    pushed.push({ from, ref });
  }
  return pushed;
};
