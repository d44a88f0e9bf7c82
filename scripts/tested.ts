/**
 * What the tests name: error codes that a test provokes, and fabric rules that a test's title cites.
 * Part of `tidy.ts`.
 */

import type { Finding } from './look.ts';
import { isTest, type Tree } from './source.ts';

const registryPath = 'shared/src/errors/registry.ts';
/** The fabric's numbered rules: `shared/src/bus/bus.ts` and its neighbours cite them. */
const fabricRules = 31;

/** Codes of the registry that stand in no test. */
export const untestedCodes = (tree: Tree): Finding[] => {
  const registry = tree.get(registryPath);
  if (!registry) return [];
  const tests = testText(tree, 'code');
  return registry.bare.flatMap((line, at) => {
    const code = /^ {2}([A-Z][A-Z0-9_]+): \{/.exec(line)?.[1];
    return code === undefined || new RegExp(`\\b${code}\\b`).test(tests)
      ? []
      : [{ path: registryPath, line: at + 1, says: code }];
  });
};

/** Rules 1 to 31 that no test's title names as `rule 9` or `rules 9, 13`. */
export const untestedRules = (tree: Tree): Finding[] => {
  const named = new Set<number>();
  for (const [, list] of testText(tree, 'code').matchAll(/\brules? ((?:\d+(?:, | and )?)+)/gi)) {
    for (const number of (list ?? '').matchAll(/\d+/g)) named.add(Number(number[0]));
  }
  const missing = Array.from({ length: fabricRules }, (_, at) => at + 1).filter((number) => !named.has(number));
  return missing.map((number) => ({ path: 'test/integration', line: 1, says: `rule ${number}` }));
};

const testText = (tree: Tree, part: 'code'): string =>
  [...tree.values()]
    .filter(({ path }) => isTest(path) && path !== 'scripts/tidy.test.ts')
    .flatMap((file) => file[part])
    .join('\n');
