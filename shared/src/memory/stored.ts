/** A memory as it lies in Redis, and as it is read. */
import { type Memory, type Provenance, provenance } from './shape.ts';

/** The name of the field that a source has in its memory; its task comes first, so that a task can be forgotten. */
export const sourceField = ({ kind, task_id, subtask_id, attempt }: Provenance, key: string): string =>
  task_id === null ? `from::${key}` : `from:${task_id}:${subtask_id ?? ''}:${attempt ?? ''}:${kind}`;

/** Null where there is no memory. */
export const readMemory = (id: string, fields: ReadonlyMap<string, string>): Memory | null => {
  const text = (name: string): string => fields.get(name) ?? '';
  if (fields.size === 0) return null;
  const uses = Number(text('uses'));
  const sources = [...fields].filter(([name]) => name.startsWith('from:')).map(([, value]) => readSource(value));
  return {
    id,
    scope: text('scope'),
    content: text('content'),
    tags: JSON.parse(text('tags') || '[]') as string[],
    importance: Number(text('importance')),
    kind: text('kind') as Memory['kind'],
    sources: sources.sort((one, other) => one.at.localeCompare(other.at)),
    times: Number(text('times')),
    created_at: isoOf(text('made')),
    last_used_at: uses > 0 ? isoOf(text('used')) : null,
    uses,
  };
};

/** The words that it is found by, and in the same order the impact of each in hundredths. */
export const foundBy = (fields: ReadonlyMap<string, string>): [words: string[], impacts: string[]] => [
  (fields.get('words') ?? '').split(' '),
  (fields.get('impacts') ?? '').split(' '),
];

/** Fields and values, flat, as HGETALL gives them. */
export const fieldsOf = (flat: readonly string[]): Map<string, string> => {
  const fields = new Map<string, string>();
  for (let at = 0; at < flat.length; at += 2) fields.set(flat[at] ?? '', flat[at + 1] ?? '');
  return fields;
};

const readSource = (text: string): Provenance => provenance.parse(JSON.parse(text));

const isoOf = (ms: string): string => new Date(Math.floor(Number(ms))).toISOString();
