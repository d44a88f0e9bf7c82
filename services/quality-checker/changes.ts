/** What the changes of a candidate are: tests or source, and which failing tests it brought itself. */
import { type Change, readFileAt } from '@nexus/shared/git';
import { nameSeparator } from './counts.ts';

/** Files that hold tests, by the names that runners look for. */
export const isTestFile = (path: string): boolean =>
  /(?:^|\/)(?:tests?|__tests__|specs?)\//.test(path) ||
  /(?:^|[./_-])(?:test|spec)s?(?:-[^/]*)?\.[cm]?[jt]sx?$/.test(path);

/** Files of code that a product is made of. */
export const isSourceFile = (path: string): boolean => /\.[cm]?[jt]sx?$/.test(path) && !isTestFile(path);

/**
 * Which of these failing tests the candidate itself brought: those of test files that it added, and those whose title
 * stands in a test file that it changed and did not stand there before. A title that stands nowhere was made by the
 * runner (`should be equal`); then that of the test around it counts. In doubt a test is not new.
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
  const textAt = async (commit: string, path: string) => (await readFileAt(folder, commit, path, { signal })) ?? '';
  const own = new Set<string>();
  for (const name of new Set(options.failing)) {
    const [first = '', ...rest] = name.split(nameSeparator);
    const file = touched.find(({ path }) => path === first);
    if (file?.how === 'added') own.add(name);
    if (file?.how === 'added' || (file && rest.length === 0)) continue;
    const candidates = file ? [file] : /\.[cm]?[jt]sx?$/.test(first) ? [] : touched;
    for (const { path, how } of candidates) {
      const after = await textAt(to, path);
      const title = (file ? rest : [first, ...rest]).findLast((part) => after.includes(part));
      if (title === undefined) continue;
      if (how === 'added' || !(await textAt(from, path)).includes(title)) own.add(name);
    }
  }
  return own;
};
