/** What a candidate changed, as git sees it between the head of integration and the merge commit. */
import { fail } from '@nexus/shared/errors';
import { run } from '@nexus/shared/process';
import { nameSeparator } from './counts.ts';

export type Change = { path: string; how: 'added' | 'changed' | 'deleted' };

/** Files that hold tests, by the names that runners look for. */
export const isTestFile = (path: string): boolean =>
  /(?:^|\/)(?:tests?|__tests__|specs?)\//.test(path) ||
  /(?:^|[./_-])(?:test|spec)s?(?:-[^/]*)?\.[cm]?[jt]sx?$/.test(path);

/** Files of code that a product is made of. */
export const isSourceFile = (path: string): boolean => /\.[cm]?[jt]sx?$/.test(path) && !isTestFile(path);

/** The files that differ; one that was moved counts as changed, under its new name. */
export const changesBetween = async (
  folder: string,
  from: string,
  to: string,
  signal?: AbortSignal,
): Promise<Change[]> => {
  const range = [`${from}`, `${to}`];
  const fields = (await git(folder, ['diff', '--name-status', '-z', '-M', '--no-ext-diff', ...range], signal)).split(
    '\0',
  );
  const changes: Change[] = [];
  while (fields.length > 1) {
    const status = fields.shift() ?? '';
    const moved = status.startsWith('R') || status.startsWith('C');
    if (moved) fields.shift();
    changes.push({ path: fields.shift() ?? '', how: hows[status.charAt(0)] ?? 'changed' });
  }
  return changes;
};

/** The tracked files of a checkout. */
export const trackedFiles = async (folder: string, signal?: AbortSignal): Promise<string[]> =>
  (await git(folder, ['ls-files', '-z'], signal)).split('\0').filter((path) => path !== '');

/**
 * Which of these failing tests the candidate itself brought: those of test files that it added, and those whose title
 * stands in a test file that it changed and did not stand there before. In doubt a test is not new.
 */
export const ownTests = async (options: {
  folder: string;
  from: string;
  to: string;
  changes: readonly Change[];
  failing: readonly string[];
  signal?: AbortSignal | undefined;
}): Promise<Set<string>> => {
  const { folder, from, to, signal } = options;
  const touched = options.changes.filter(({ path, how }) => how !== 'deleted' && isTestFile(path));
  const textAt = async (commit: string, path: string) =>
    (await gitResult(folder, ['show', `${commit}:${path}`], signal)).stdout ?? '';
  const own = new Set<string>();
  for (const name of new Set(options.failing)) {
    const [first = '', ...rest] = name.split(nameSeparator);
    const title = rest.at(-1) ?? first;
    const file = touched.find(({ path }) => path === first);
    if (file?.how === 'added') own.add(name);
    if (file?.how === 'added' || (file && rest.length === 0)) continue;
    const candidates = file ? [file] : /\.[cm]?[jt]sx?$/.test(first) ? [] : touched;
    for (const { path, how } of candidates) {
      const before = how === 'added' ? '' : await textAt(from, path);
      if (!before.includes(title) && (await textAt(to, path)).includes(title)) own.add(name);
    }
  }
  return own;
};

const hows: Record<string, Change['how']> = { A: 'added', D: 'deleted', M: 'changed', R: 'changed', T: 'changed' };

const git = async (folder: string, args: string[], signal?: AbortSignal): Promise<string> => {
  const { exitCode, stdout, stderr } = await gitResult(folder, args, signal);
  if (exitCode === 0) return stdout;
  throw fail('GIT_FAILED', {
    command: args[0] ?? '',
    exit: exitCode ?? 'a signal',
    message: stderr.trim().slice(-500),
  });
};

/** Reads only, so neither the person's nor the machine's configuration may say how. */
const gitResult = (folder: string, args: string[], signal?: AbortSignal) =>
  run({
    command: ['git', ...args],
    folder,
    env: { GIT_CONFIG_GLOBAL: '/dev/null', GIT_CONFIG_NOSYSTEM: '1', GIT_TERMINAL_PROMPT: '0', LC_ALL: 'C' },
    timeoutMs: 60_000,
    outputBytesMax: 20_000_000,
    signal,
  });
