/** The rules of `tidy.ts` about a file by itself: how long it is, whether anybody needs it, how a script opens. */
import { posix } from 'node:path';
import { type Finding, files } from './look.ts';
import { functionsOf, isLua, isScript, isTest, type Tree } from './source.ts';

/** Files that nobody has to import: they are started, found by a tool, or found in their folder by a loader. */
const entries = [
  /(^|\/)main\.ts$/,
  /\/bin\.mjs$/,
  /\.test\.tsx?$/,
  /\.config\.ts$/,
  /^scripts\/[\w-]+\.(ts|mjs)$/,
  /^scripts\/bench\//,
  /^test\/(tools|chaos)\//,
  /^services\/[\w-]+\/(runtimes|checks|targets)\//,
  /\/dashboard\//,
];
/** Tables are as long as what they list. */
const tables = ['shared/src/errors/registry.ts', 'shared/src/messages/messages.ts', 'shared/src/messages/domain.ts'];
export function longFiles(tree: Tree): Finding[] {
  return files(tree, ({ path, lines }) => {
    const count = lines.at(-1) === '' ? lines.length - 1 : lines.length;
    return (isScript(path) || isLua(path)) && count > 400 && !tables.includes(path) ? `${count} lines` : null;
  });
}

export function longFunctions(tree: Tree): Finding[] {
  return [...tree.values()]
    .filter(({ path }) => isScript(path))
    .flatMap((file) =>
      functionsOf(file)
        .filter(({ lines }) => lines > 70)
        .map(({ line, lines, name }) => ({ path: file.path, line, says: `${name} has ${lines} lines` })),
    );
}

export function longLines(tree: Tree): Finding[] {
  const prose = /\.(md|json|ya?ml)$/;
  const literal = /^\s*(?:return )?(['"`/])\s*\1[a-z]*[,;)\]]*$/;
  return [...tree.values()]
    .filter(({ path }) => !prose.test(path))
    .flatMap((file) =>
      file.lines.flatMap((line, at) => {
        const columns = [...line].length;
        const fits = columns <= 120 || literal.test(file.bare[at] ?? '');
        return fits ? [] : [{ path: file.path, line: at + 1, says: `${columns} columns` }];
      }),
    );
}

export function deadFiles(tree: Tree): Finding[] {
  const sources = [...tree.values()].filter(({ path }) => isScript(path));
  const imported = new Set(sources.flatMap((file) => file.imports.map(({ path }) => path ?? '')));
  const doors = tree.get('shared/package.json')?.text ?? '';
  return files(tree, ({ path }) => {
    if (!(isScript(path) || isLua(path)) || imported.has(path) || entries.some((entry) => entry.test(path)))
      return null;
    if (doors.includes(`"./${posix.relative('shared', path)}"`)) return null;
    const name = posix.basename(path).replace(/-\d+\.lua$/, '');
    const verb = isLua(path) ? `|\\bnexus${name[0]?.toUpperCase()}${name.slice(1)}\\b|\\b${name}:` : '';
    const named = new RegExp(`['"\`/]${name.replaceAll('.', '\\.')}['"\`]${verb}`);
    const used = sources.some(
      (file) => file.path !== path && !isTest(file.path) && file.code.some((line) => named.test(line)),
    );
    return used ? null : 'nobody imports or names it';
  });
}

export function luaFaults(tree: Tree): Finding[] {
  return [...tree.values()]
    .filter(({ path }) => isLua(path))
    .flatMap((file) => {
      const found = (says: string) => ({ path: file.path, line: 1, says });
      const named = /^[a-z]+(?:-[a-z]+)*-(\d+)\.lua$/.exec(posix.basename(file.path));
      if (!named) return [found('its name does not say how many keys it takes')];
      const count = Number(named[1]);
      const header = file.lines.filter((line) => line.startsWith('--')).join('\n');
      const missing = ['KEYS:', 'ARGV:', 'Returns:'].filter((word) => !header.includes(word));
      const section = /KEYS:([\s\S]*?)ARGV:/.exec(header)?.[1] ?? '';
      const listed = highest(section.matchAll(/(?:^ ?|, |\.\.)(\d+)\b/gm));
      const used = highest(file.code.join('\n').matchAll(/KEYS\[(\d+)\]/g));
      return [
        ...(missing.length > 0 ? [found(`its header lacks ${missing.join(', ')}`)] : []),
        ...(missing.length === 0 && listed !== count
          ? [found(`its header lists ${listed} keys, its name ${count}`)]
          : []),
        ...(used > count ? [found(`it uses KEYS[${used}], its name says ${count}`)] : []),
      ];
    });
}

const highest = (matches: Iterable<RegExpMatchArray>): number =>
  Math.max(0, ...Array.from(matches, (match) => Number(match[1])));
