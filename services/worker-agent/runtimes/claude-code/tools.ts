/**
 * The tools of an agent as flags of the CLI.
 *
 * A definition names tools as Claude Code does, some with what they may be used for: `Bash(git log:*)`. Where nothing
 * is so narrowed, what exists may be used, and nobody is asked; else only what is named may. Nobody pushes.
 */
import { resolveTools } from '@nexus/shared/catalog';

/** For agents whose definition names none: what work on files, commands and the web needs. */
const usual = ['Bash', 'Edit', 'Glob', 'Grep', 'NotebookEdit', 'Read', 'TodoWrite', 'WebFetch', 'WebSearch', 'Write'];
const never = ['Bash(git push*)'];
/** A definition may call it so; the CLI knows it under the older name. */
const renamed: Readonly<Record<string, string>> = { Agent: 'Task' };

/** `disallowed` is what the definition itself forbids. */
export const toolFlags = (names: readonly string[], disallowed: readonly string[] = []): string[] => {
  const { allowed, denied } = resolveTools(names);
  const wanted = (allowed.length === 0 ? usual : allowed).map((name) => renamed[name] ?? name);
  const isNarrow = wanted.some((name) => name.includes('('));
  const plain = [...new Set(wanted.map((name) => name.split('(')[0] as string))];
  return [
    `--tools=${plain.filter((name) => !name.startsWith('mcp__')).join(',')}`,
    ...(isNarrow
      ? [`--allowedTools=${wanted.join(',')}`, '--permission-mode=dontAsk']
      : ['--permission-mode=bypassPermissions']),
    `--disallowedTools=${[...new Set([...never, ...denied, ...resolveTools(disallowed).allowed])].join(',')}`,
  ];
};
