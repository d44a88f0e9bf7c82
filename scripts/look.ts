/**
 * Ways to look through the source for findings: by file, by line, by import. What the rules of `tidy.ts`
 * are made of.
 */
import { type Import, isLua, isScript, isTest, type SourceFile, type Tree } from './source.ts';

export type Finding = { path: string; line: number; says: string };

/** Ours to hold to the rules of services: not scripts, tests, or the plain JavaScript that starts others. */
export const ours = (path: string): boolean =>
  !path.startsWith('scripts/') && !isTest(path) && !path.endsWith('.mjs') && !/^[\w.]+\.config\.ts$/.test(path);

type Chooses = (file: SourceFile) => boolean;

export const files = (tree: Tree, look: (file: SourceFile) => string | null): Finding[] =>
  [...tree.values()].flatMap((file) => {
    const says = look(file);
    return says === null ? [] : [{ path: file.path, line: 1, says }];
  });

const linesOf = (
  tree: Tree,
  chooses: Chooses,
  part: 'lines' | 'code' | 'bare',
  look: (line: string, path: string) => string | null,
) =>
  [...tree.values()].filter(chooses).flatMap((file) =>
    file[part].flatMap((line, at) => {
      const says = look(line, file.path);
      return says === null ? [] : [{ path: file.path, line: at + 1, says }];
    }),
  );

/** What stands in comments; the whole of a file that is not code. */
export const comments = (tree: Tree, chooses: Chooses, look: (line: string) => string | null): Finding[] =>
  [...tree.values()].filter(chooses).flatMap((file) =>
    file.lines.flatMap((line, at) => {
      const kept = isScript(file.path) || isLua(file.path) ? (file.code[at] ?? '') : '';
      const says = look([...line].map((letter, column) => (kept[column] === letter ? ' ' : letter)).join(''));
      return says === null ? [] : [{ path: file.path, line: at + 1, says }];
    }),
  );

export function code(
  tree: Tree,
  chooses: Chooses,
  look: (line: string, path: string) => string | null,
  part: 'code' | 'bare' = 'code',
): Finding[] {
  return linesOf(tree, chooses, part, look);
}

export function imports(
  tree: Tree,
  chooses: Chooses,
  look: (file: SourceFile, one: Import) => string | null,
): Finding[] {
  return [...tree.values()].filter(chooses).flatMap((file) =>
    file.imports.flatMap((one) => {
      const says = look(file, one);
      return says === null ? [] : [{ path: file.path, line: one.line, says }];
    }),
  );
}
