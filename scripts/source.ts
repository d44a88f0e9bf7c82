/**
 * Reads the tracked source for `tidy.ts`: each file as text, as text without comments, and as text
 * without comments and strings, all with the same lines and columns; its imports; its functions. The
 * layout is Biome's, so a function ends at the first line that closes at the indentation it began with.
 */
import { execFileSync } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { join, posix } from 'node:path';

export type Import = {
  line: number;
  specifier: string /** The path it leads to, for a relative one. */;
  path: string | null;
};
export type Span = { line: number; lines: number; name: string };
export type SourceFile = {
  path: string;
  text: string;
  lines: string[];
  /** Without comments; strings are kept. */
  code: string[];
  /** Without comments and without what stands in strings. */
  bare: string[];
  imports: Import[];
};
export type Tree = Map<string, SourceFile>;

const textual = /\.(ts|tsx|mjs|js|lua|json|yaml|yml|md|css|html|sh)$|(^|\/)(Dockerfile|run|\.[a-z]+ignore)$/;

/** Every tracked or new, not ignored, text file below `root`. */
export const readTree = (root: string): Tree => {
  const list = execFileSync('git', ['ls-files', '-z', '--cached', '--others', '--exclude-standard'], { cwd: root });
  const paths = list
    .toString()
    .split('\0')
    .filter((path) => textual.test(path) && existsSync(join(root, path)));
  return treeOf(paths.sort().map((path) => [path, readFileSync(join(root, path), 'utf8')]));
};

/** A tree from texts: what `readTree` gives, and what a test of a rule begins with. */
export const treeOf = (files: Iterable<readonly [path: string, text: string]>): Tree =>
  new Map(Array.from(files, ([path, text]) => [path, sourceFile(path, text)]));

const sourceFile = (path: string, text: string): SourceFile => {
  const masked = isScript(path) ? maskScript(text) : isLua(path) ? maskLua(text) : { code: text, bare: text };
  const code = masked.code.split('\n');
  return { path, text, lines: text.split('\n'), code, bare: masked.bare.split('\n'), imports: importsOf(path, code) };
};

export const isScript = (path: string): boolean => /\.(ts|tsx|mjs|js)$/.test(path);
export const isLua = (path: string): boolean => path.endsWith('.lua');
export const isTest = (path: string): boolean => /\.(test|conformance)\.tsx?$/.test(path) || path.startsWith('test/');

const importPattern =
  /(?:^|\s|\})from '([^']+)'|^\s*import '([^']+)'|\bimport\('([^']+)'\)|new URL\('(\.[^']+)', import\.meta\.url\)/g;

const importsOf = (path: string, code: string[]): Import[] => {
  if (!isScript(path)) return [];
  return code.flatMap((text, at) =>
    Array.from(text.matchAll(importPattern), (match) => {
      const specifier = match[1] ?? match[2] ?? match[3] ?? match[4] ?? '';
      const relative = specifier.startsWith('.');
      return { line: at + 1, specifier, path: relative ? posix.join(posix.dirname(path), specifier) : null };
    }),
  );
};

const opensFunction = new RegExp(
  [
    /=>\s*[{([]*$/, // an arrow, whatever it gives
    /\bfunction\b.*\{$/,
    /^\s*(?:(?:static|async|get|set|override|private|public)\s+)*[\w#$]+\(.*\{$/, // a method
    /^\s*\).*\{$/, // the end of parameters that took several lines
  ]
    .map(({ source }) => source)
    .join('|'),
);
const opensOther = /^\s*(?:\}\s*)?(?:if|for|while|switch|catch|else|do|try)\b/;

/** The functions of a file with their own lines: a function inside counts for itself, as a method would. */
export const functionsOf = (file: SourceFile): Span[] => {
  const spans: Span[] = [];
  for (const [at, text] of file.bare.entries()) {
    const line = text.trimEnd();
    if (!opensFunction.test(line) || opensOther.test(line)) continue;
    const indent = indentOf(line);
    const rest = file.bare.slice(at + 1);
    const end = rest.findIndex((next) => next.trim() !== '' && indentOf(next) <= indent);
    const name = nameOf(file.code.slice(Math.max(0, at - 12), at + 1).reverse(), indent);
    spans.push({ line: at + 1, lines: (end < 0 ? rest.length : end) + 2, name });
  }
  return spans.map((span) => ({ ...span, lines: span.lines - linesWithin(span, spans) }));
};

/** The lines of the outermost functions inside a function: those are counted where they stand. */
const linesWithin = (outer: Span, spans: Span[]): number => {
  let end = 0;
  let sum = 0;
  for (const inner of spans) {
    const inside = inner.line > outer.line && inner.line + inner.lines <= outer.line + outer.lines;
    if (!inside || inner.line <= end) continue;
    end = inner.line + inner.lines - 1;
    sum += inner.lines;
  }
  return sum;
};

const indentOf = (line: string): number => line.length - line.trimStart().length;

/** The name that a function goes by: on its own line, or where its parameters began. */
const nameOf = (upwards: string[], indent: number): string => {
  for (const line of upwards) {
    if (indentOf(line) !== indent || line.trim().startsWith(')')) continue;
    return (
      /(?:const|let|function|test|it)\s*\*?[( ]\s*['"`]?([^'"`=(:]{1,60})/.exec(line)?.[1]?.trim() ??
      line.trim().slice(0, 40)
    );
  }
  return 'a function';
};

/** Blanks the comments of Lua; long strings do not occur in our scripts. */
const maskLua = (text: string): { code: string; bare: string } => {
  const code = text.replaceAll(/--[^\n]*/g, (comment) => ' '.repeat(comment.length));
  return { code, bare: code.replaceAll(/'[^'\n]*'|"[^"\n]*"/g, (quoted) => ' '.repeat(quoted.length)) };
};

/** Walks TypeScript once and blanks comments (`code`), then strings, templates and patterns too (`bare`). */
const maskScript = (text: string): { code: string; bare: string } => {
  const code = [...text.split('')];
  const bare = [...code];
  const blank = (target: string[], from: number, to: number) => {
    for (let at = from; at < to; at += 1) if (target[at] !== '\n') target[at] = ' ';
  };
  const open: number[] = []; // depths of braces at which a template goes on
  let depth = 0;
  for (let at = 0; at < text.length; at += 1) {
    const two = text.slice(at, at + 2);
    const one = text[at] ?? '';
    if (two === '//' || two === '/*' || (at === 0 && two === '#!')) {
      const end = two === '/*' ? text.indexOf('*/', at + 2) + 2 : text.indexOf('\n', at);
      const to = end < at ? text.length : end;
      blank(code, at, to);
      blank(bare, at, to);
      at = to - 1;
    } else if (one === "'" || one === '"') {
      at = passQuoted(text, at, one, (from, to) => blank(bare, from, to));
    } else if (one === '`' || (one === '}' && open.at(-1) === depth)) {
      if (one === '}') open.pop();
      const end = passTemplate(text, at + 1);
      blank(bare, at + 1, end);
      if (text[end] === '$') open.push(depth);
      at = text[end] === '$' ? end + 1 : end;
    } else if (one === '/' && beginsPattern(text, at)) {
      const end = passPattern(text, at + 1);
      blank(bare, at + 1, end);
      at = end;
    } else if (one === '{') depth += 1;
    else if (one === '}') depth -= 1;
  }
  return { code: code.join(''), bare: bare.join('') };
};

const passQuoted = (text: string, from: number, quote: string, blank: (from: number, to: number) => void): number => {
  let at = from + 1;
  while (at < text.length && text[at] !== quote && text[at] !== '\n') at += text[at] === '\\' ? 2 : 1;
  blank(from + 1, at);
  return at;
};

/** To the end of a template, or to the `$` of its next `${`. */
const passTemplate = (text: string, from: number): number => {
  let at = from;
  while (at < text.length && text[at] !== '`' && text.slice(at, at + 2) !== '${') at += text[at] === '\\' ? 2 : 1;
  return at;
};

const passPattern = (text: string, from: number): number => {
  let at = from;
  for (let set = false; at < text.length && text[at] !== '\n'; at += text[at] === '\\' ? 2 : 1) {
    if (text[at] === '/' && !set) return at;
    if (text[at] === '[') set = true;
    if (text[at] === ']') set = false;
  }
  return at;
};

/** A slash begins a pattern where a value may stand; after a value it divides. */
const beginsPattern = (text: string, at: number): boolean => {
  const before = text.slice(Math.max(0, at - 40), at).trimEnd();
  return (
    before === '' ||
    /[(,=:[!&|?{};+\-*%~^>]$/.test(before) ||
    /\b(?:return|typeof|case|in|of|await|yield)$/.test(before)
  );
};
