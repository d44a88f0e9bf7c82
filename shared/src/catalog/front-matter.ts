/**
 * Splits a Markdown definition into its front matter and its body.
 *
 * Front matter is YAML. Many subagent files that people already have are not quite YAML: their
 * descriptions hold `user: "..."` examples without quotes, as the tools that wrote them read line by
 * line. Such a file is read line by line here too, provided that it uses none of our own keys.
 */
import { fail } from '@nexus/shared/errors';
import { isMap, isScalar, LineCounter, parseDocument } from 'yaml';

export type FrontMatter = {
  fields: Record<string, unknown>;
  body: string;
  /** The line of the file that a field stands on; 1 for one that is missing. */
  lineOf(field: string): number;
};

/** The keys that Claude Code documents for its subagents: where one begins a line, a new value begins. */
export const theirKeys: readonly string[] = [
  'name',
  'description',
  'tools',
  'disallowedTools',
  'model',
  'color',
  'permissionMode',
  'maxTurns',
  'skills',
  'mcpServers',
  'hooks',
  'memory',
  'background',
  'effort',
  'isolation',
  'initialPrompt',
];

/**
 * Reads a definition's text; null if it has no front matter at all and so is no definition. Throws
 * `DEFINITION_INVALID` with the line where YAML cannot be read; `ourKeys` are those that make a file ours.
 */
export const readFrontMatter = (file: string, text: string, ourKeys: readonly string[]): FrontMatter | null => {
  const parts = /^\uFEFF?---[ \t]*\n([\s\S]*?)^---[ \t]*(?:\n([\s\S]*))?$/m.exec(text.replaceAll('\r\n', '\n'));
  if (parts?.index !== 0) return null;
  const [, head = '', body = ''] = parts;
  const lineCounter = new LineCounter();
  const document = parseDocument(head, { prettyErrors: true, lineCounter });
  const [problem] = document.errors;
  if (problem === undefined) {
    const offsets = new Map<unknown, number>();
    for (const { key } of isMap(document.contents) ? document.contents.items : []) {
      if (isScalar(key) && key.range) offsets.set(String(key.value), key.range[0]);
    }
    const lineOf = (field: string): number => {
      const offset = offsets.get(field);
      return offset === undefined ? 1 : lineCounter.linePos(offset).line + 1;
    };
    return { fields: recordOf(file, document.toJS()), body: body.trim(), lineOf };
  }
  const ours = ourKeys.some((key) => new RegExp(`^${key}\\s*:`, 'm').test(head));
  const fields = ours ? null : readLines(head);
  if (fields) {
    const lines = head.split('\n');
    return { fields, body: body.trim(), lineOf: (field) => lines.findIndex((at) => at.startsWith(`${field}:`)) + 2 };
  }
  const line = (problem.linePos?.[0].line ?? 1) + 1;
  const [says] = problem.message.split(/ at line \d+/);
  throw fail('DEFINITION_INVALID', { file, problem: `line ${line}: ${says}` });
};

const recordOf = (file: string, value: unknown): Record<string, unknown> => {
  if (value === null || value === undefined) return {};
  if (typeof value === 'object' && !Array.isArray(value)) return value as Record<string, unknown>;
  throw fail('DEFINITION_INVALID', { file, problem: 'line 2: the front matter is not a list of `key: value` lines' });
};

/** Values line by line: what is no known key at the beginning of a line goes on with the value before. */
const readLines = (head: string): Record<string, string> | null => {
  const fields: Record<string, string> = {};
  let current: string | null = null;
  for (const line of head.split('\n')) {
    const [, key, value] = /^([A-Za-z]\w*):(?:[ \t]+(.*))?$/.exec(line) ?? [];
    if (key !== undefined && theirKeys.includes(key) && !(key in fields)) {
      current = key;
      fields[key] = value ?? '';
    } else if (current !== null) fields[current] += `\n${line}`;
  }
  if (!fields.name || !fields.description) return null;
  return Object.fromEntries(Object.entries(fields).map(([key, value]) => [key, value.trim()]));
};
