/** A zod schema as the JSON schema that a model server takes for a strict one. */
import { z } from 'zod';

type Json = Record<string, unknown>;

/** Words that strict servers do not know; zod holds the answer to them afterwards. */
const unknown = ['$schema', 'minLength', 'maxLength', 'pattern', 'format', 'default', 'exclusiveMinimum', 'maxItems'];

/**
 * Closed objects, all of whose properties are required (https://platform.openai.com/docs/guides/structured-outputs).
 * So a schema for a model has no optional properties: what may be missing is nullable.
 */
export const strictSchema = (schema: z.ZodType): Json => strict(z.toJSONSchema(schema, { io: 'input' })) as Json;

const strict = (value: unknown): unknown => {
  if (Array.isArray(value)) return value.map(strict);
  if (value === null || typeof value !== 'object') return value;
  const entries = Object.entries(value).filter(([word]) => !unknown.includes(word));
  const closed: Json = Object.fromEntries(
    entries.map(([word, inner]) => [word, word === 'properties' ? strictAll(inner as Json) : strict(inner)]),
  );
  if (closed.type !== 'object') return closed;
  return { ...closed, required: Object.keys((closed.properties ?? {}) as Json), additionalProperties: false };
};

/** Names of properties are no words of the schema, whatever they are. */
const strictAll = (properties: Json): Json =>
  Object.fromEntries(Object.entries(properties).map(([name, inner]) => [name, strict(inner)]));
