/**
 * Turns JSON Schemas (as zod makes them) into what a page shows: a table of fields, the name of a type,
 * and an example that fits. Part of `docs.ts`.
 */

export type Schema = {
  $schema?: string;
  $ref?: string;
  type?: string | string[];
  const?: unknown;
  enum?: unknown[];
  anyOf?: Schema[];
  oneOf?: Schema[];
  properties?: Record<string, Schema>;
  required?: string[];
  items?: Schema;
  additionalProperties?: Schema | boolean;
  description?: string;
  default?: unknown;
  format?: string;
  pattern?: string;
  minimum?: number;
  exclusiveMinimum?: number;
  $defs?: Record<string, Schema>;
};

/** What fields of these names look like in an example. */
const exampleOf: Record<string, unknown> = {
  task_id: 'csv-export-k3x9q2',
  subtask_id: 'build-export',
  instance_id: 'worker-agent-7f3a2c',
  agent_id: 'backend',
  role: 'builder',
  request: 'Add CSV export to the report page',
  title: 'Build the CSV export',
  goal: 'Write src/export.js and its tests.',
  says: 'All went well.',
  summary: 'Wrote the export and two tests.',
  reason: 'no longer needed',
  repository: '/repositories/shop',
  base: 'main',
  branch: 'nexus/csv-export-k3x9q2',
  workflow: 'simple',
  actor: 'token:operate',
  commit: '9fceb02d0ae598e95dc970b74767f19372d61af8',
  command: 'npm test',
  name: 'test',
  id: 'build-export',
  ref: 'refs/nexus/csv-export-k3x9q2/evidence/build-export-1',
  path: 'output.log',
  approach: 'One builder, then a review.',
  outcome: 'completed',
};

/** The name of a type as a table shows it; shapes with a name link to their own table. */
export const typeName = (schema: Schema): string => {
  if (Array.isArray(schema.type)) return schema.type.map((type) => typeName({ ...schema, type })).join(' or ');
  if (schema.$ref) return shapeLink(schema.$ref);
  if (schema.const !== undefined) return code(JSON.stringify(schema.const));
  if (schema.enum) return schema.enum.map((value) => code(JSON.stringify(value))).join(' ');
  const choices = schema.anyOf ?? schema.oneOf;
  if (choices) return choices.map(typeName).join(' or ');
  if (schema.type === 'array') return `list of ${typeName(schema.items ?? {})}`;
  if (schema.type === 'object') return objectName(schema);
  if (schema.format === 'date-time') return 'time (ISO 8601)';
  return (
    { string: 'text', integer: 'integer', number: 'number', boolean: 'true or false', null: 'null' }[
      schema.type ?? ''
    ] ?? 'anything'
  );
};

const code = (text: string): string => `\`${text.replaceAll('|', '\\|')}\``;
const shapeLink = (ref: string): string => {
  const name = ref.split('/').at(-1) ?? '';
  return `[${name}](#${name.toLowerCase()})`;
};

const objectName = (schema: Schema): string => {
  const fields = Object.keys(schema.properties ?? {});
  return fields.length === 0 ? 'object' : `object of ${fields.map(code).join(', ')}`;
};

/** A Markdown table of an object's fields. */
export const fieldTable = (schema: Schema): string => {
  const rows = Object.entries(schema.properties ?? {}).map(([name, field]) => {
    const needed = schema.required?.includes(name)
      ? 'yes'
      : field.default === undefined
        ? ''
        : code(JSON.stringify(field.default));
    return `| ${code(name)} | ${typeName(field)} | ${needed} | ${(field.description ?? '').replaceAll('|', '\\|')} |`;
  });
  return ['| field | type | needed, or default | |', '|---|---|---|---|', ...rows].join('\n');
};

/** A value that fits the schema: what must be there, and of objects and lists no more than that. */
export const exampleFor = (schema: Schema, shapes: Record<string, Schema>, name = ''): unknown => {
  if (Array.isArray(schema.type)) {
    return mayBeNull(schema.type, name)
      ? null
      : exampleFor({ ...schema, type: schema.type[0] ?? 'null' }, shapes, name);
  }
  if (schema.$ref) return exampleFor(shapes[schema.$ref.split('/').at(-1) ?? ''] ?? {}, shapes, name);
  if (schema.const !== undefined) return schema.const;
  if (schema.enum) return schema.enum.includes(exampleOf[name]) ? exampleOf[name] : schema.enum[0];
  const choices = schema.anyOf ?? schema.oneOf;
  if (choices?.some(({ type }) => type === 'null') && mayBeNull(['null'], name)) return null;
  if (choices) return exampleFor(choices.find(({ type }) => type !== 'null') ?? {}, shapes, name);
  if (schema.type === 'array') return fillList.has(name) ? [exampleFor(schema.items ?? {}, shapes)] : [];
  if (schema.type === 'object') return exampleObject(schema, shapes);
  if (schema.type === 'integer' || schema.type === 'number') return exampleNumber(schema, name);
  if (schema.type === 'boolean') return false;
  return schema.type === 'string' ? exampleText(schema, name) : null;
};

/** Where null is as good an answer, an example says no more than it knows. */
const mayBeNull = (types: string[], name: string): boolean => types.includes('null') && exampleOf[name] === undefined;

/** Lists that must not be empty. */
const fillList = new Set(['subtasks']);

const exampleObject = (schema: Schema, shapes: Record<string, Schema>): unknown =>
  Object.fromEntries(
    Object.entries(schema.properties ?? {})
      .filter(([field]) => schema.required?.includes(field))
      .map(([field, inner]) => [field, exampleFor(inner, shapes, field)]),
  );

const exampleNumber = (schema: Schema, name: string): number => {
  if (name.endsWith('_ms')) return 4200;
  if (name.endsWith('_minutes')) return 30;
  return Math.max(schema.minimum ?? 0, schema.exclusiveMinimum === undefined ? 0 : schema.exclusiveMinimum + 1);
};

const exampleText = (schema: Schema, name: string): string => {
  if (schema.pattern?.includes('0-9a-f')) return '9fceb02d0ae598e95dc970b74767f19372d61af8';
  if (schema.format === 'date-time' || name.endsWith('_at')) return '2026-01-31T09:30:00.000Z';
  return String(exampleOf[name] ?? (schema.pattern ? 'build-export' : ''));
};
