/** The tools that look at files and change them: read, write, edit, list. Only inside the clone (`inside.ts`). */
import { z } from 'zod';
import { type Found, type Inside, NotInside } from './inside.ts';
import { defineTool, type Tool } from './tool.ts';

const path = z.string().min(1).max(4096).describe('From the folder you work in.');
const readBytesMax = 10_000_000;
const linesMax = 2000;
const entriesMax = 500;

export const readTool = defineTool({
  name: 'read',
  changes: false,
  description: 'Reads a text file. Each line comes with its number, which is no part of the file.',
  input: z.object({
    path,
    from: z.int().min(1).default(1).describe('The first line, counted from 1.'),
    lines: z.int().min(1).max(linesMax).default(linesMax).describe('How many lines.'),
  }),
  run: async ({ path: file, from, lines }, { inside }) => {
    const { text, size } = await inside.read(file, readBytesMax);
    const all = text.split('\n');
    if (all.at(-1) === '') all.pop();
    const shown = all.slice(from - 1, from - 1 + lines).map((line, at) => `${from + at}\t${line}`);
    const rest = all.length - (from - 1 + shown.length);
    if (shown.length === 0) return `(${file} has ${all.length} lines)`;
    const more = rest > 0 ? [`(${rest} more lines)`] : [];
    const beyond = size > readBytesMax ? [`(of ${size} bytes only the first ${readBytesMax} can be read)`] : [];
    return [...shown, ...more, ...beyond].join('\n');
  },
});

export const writeTool = defineTool({
  name: 'write',
  changes: true,
  description: 'Writes a whole file, new or in place of what it held. Folders above it are made.',
  input: z.object({ path, text: z.string().describe('The whole text of the file.') }),
  run: async ({ path: file, text }, { inside, onlyNotes }) => {
    demandNotes(onlyNotes, file);
    await inside.write(file, text);
    return `wrote ${Buffer.byteLength(text)} bytes to ${file}`;
  },
});

export const editTool = defineTool({
  name: 'edit',
  changes: true,
  description: 'Replaces a piece of a file. `old` must stand there exactly so, and once only unless `all` is true.',
  input: z.object({
    path,
    old: z.string().min(1).describe('What stands there now, to the space.'),
    new: z.string().describe('What is to stand there.'),
    all: z.boolean().default(false).describe('Replace it wherever it stands.'),
  }),
  run: async ({ path: file, old, new: next, all }, { inside, onlyNotes }) => {
    demandNotes(onlyNotes, file);
    const { text, size } = await inside.read(file, readBytesMax);
    if (size > readBytesMax) throw new NotInside(`${file} is too large to be edited here; use run`);
    const parts = text.split(old);
    const found = parts.length - 1;
    if (found === 0) throw new NotInside(`\`old\` does not stand in ${file}; read it again`);
    if (found > 1 && !all) throw new NotInside(`\`old\` stands ${found} times in ${file}; give more of its context`);
    await inside.write(file, parts.join(next));
    return `replaced ${found} place(s) in ${file}`;
  },
});

export const listTool = defineTool({
  name: 'list',
  changes: false,
  description: 'Lists what lies in a folder, and in the folders below it as deep as you ask. .git is left out.',
  input: z.object({
    path: path.default('.'),
    depth: z.int().min(1).max(8).default(1),
  }),
  run: async ({ path: folder, depth }, { inside }) => {
    const lines: string[] = [];
    await listInto(lines, inside, folder, depth, '');
    const shown = lines.slice(0, entriesMax);
    if (lines.length > entriesMax) shown.push(`(and more: only the first ${entriesMax} are shown)`);
    return shown.join('\n') || '(empty)';
  },
});

const quiet = ['node_modules', '.venv', '__pycache__'];

const listInto = async (
  lines: string[],
  inside: Inside,
  folder: string,
  depth: number,
  indent: string,
): Promise<void> => {
  for (const found of await inside.list(folder)) {
    if (lines.length > entriesMax || (indent === '' && found.name === '.git')) continue;
    lines.push(`${indent}${lineOf(found)}`);
    if (found.kind !== 'folder' || depth <= 1 || quiet.includes(found.name)) continue;
    await listInto(lines, inside, `${folder}/${found.name}`, depth - 1, `${indent}  `);
  }
};

const lineOf = ({ name, kind, size }: Found): string => {
  if (kind === 'file') return `${name} (${size} bytes)`;
  return kind === 'folder' ? `${name}/` : `${name} (${kind})`;
};

/** An agent whose work is a report may leave notes and plans, and nothing else. */
const demandNotes = (onlyNotes: boolean, file: string): void => {
  if (onlyNotes && !file.replace(/^\.\//, '').startsWith('.nexus/')) {
    throw new NotInside('your role changes no files; only below .nexus/ may you write');
  }
};

export const fileTools: Tool[] = [readTool, writeTool, editTool, listTool];
