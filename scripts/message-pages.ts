/**
 * `shared/MESSAGES.md` and the JSON Schema of a message, from the catalog. Part of `docs.ts`.
 *
 * A kind that is added to the catalog appears in both by itself; `message-pages.test.ts` holds that every
 * example on the page is a message that a service would take.
 */
import { envelopeSchema, keysOf, prioritiesInOrder } from '@nexus/shared/bus';
import { catalog, entryOf, type Kind } from '@nexus/shared/messages';
import { serviceName } from '@nexus/shared/messages/domain';
import { z } from 'zod';
import { exampleFor, fieldTable, type Schema } from './shapes.ts';

const kinds = Object.keys(catalog) as Kind[];
const keys = keysOf('{nexus}');

const schemaOf = (schema: z.ZodType): Schema => {
  const { $schema: _, ...rest } = z.toJSONSchema(schema, { io: 'input', unrepresentable: 'any' }) as Schema;
  return rest.$ref === undefined ? rest : (rest.$defs?.[rest.$ref.split('/').at(-1) ?? ''] ?? rest);
};

const payloads = new Map(kinds.map((kind) => [kind, schemaOf(entryOf(kind).payload)]));
const shapes: Record<string, Schema> = Object.assign({}, ...[...payloads.values()].map(({ $defs }) => $defs ?? {}));

/** A payload of this kind that its schema takes. */
export const examplePayload = (kind: Kind): unknown => {
  if (kind === 'task.submitted') return { request: 'Add CSV export to the report page' };
  return exampleFor(payloads.get(kind) ?? {}, shapes);
};

export const messagesPage = (notice: string): string =>
  [
    `# Messages\n\n${notice}`,
    introduction(),
    `## The envelope\n\n${fieldTable(schemaOf(envelopeSchema))}`,
    byHand(),
    ...serviceName.options.flatMap((service) => {
      const own = kinds.filter((kind) => entryOf(kind).to === service);
      return own.length === 0 ? [] : [`## To ${service}`, ...own.map(kindSection)];
    }),
    '## Shapes\n\nWhat several messages, or the API, have in common.',
    ...Object.entries(shapes)
      .sort()
      .map(([name, schema]) => `### ${name}\n\n${fieldTable(schema)}`),
  ].join('\n\n');

const introduction = (): string => {
  const inbox = keys.inbox('orchestrator', 'NORMAL');
  const form = inbox.replace('orchestrator', '<service>').replace('NORMAL', '<PRIORITY>');
  return `Every hop in NEXUS is one of these messages on a Redis stream, acknowledged when
what follows from it is written. A message is one entry with one field, \`m\`, of JSON. It lies on the inbox of
its service and priority:

    ${form}

with PRIORITY one of ${prioritiesInOrder.join(', ')}, and \`{nexus}\` the fabric's prefix (NEXUS_PREFIX). What
waits can be read with \`redis-cli XRANGE '${inbox}' - +\`, all traffic of late with
\`redis-cli XREVRANGE '${keys.journal}' + - COUNT 20\`.`;
};

const byHand = (): string => `## Writing one by hand

Only \`type\` and \`payload\` are needed; the rest of the envelope is filled in. These names are taken too:
\`message_type\` for type, \`from_agent\` and \`to_agent\` (plain names) for from and to, \`response_expected\` for
requires_ack, \`timeout_seconds\` for timeout_ms, \`version\` for protocol_version, \`content\` or \`data\` for payload,
and priorities in any case (\`medium\` is NORMAL, \`urgent\` CRITICAL). What cannot be read, or has another
version, becomes a dead letter with the reason: \`nexus dlq ls\`. The blocks below can be typed as they are; in
containers put \`docker compose exec redis\` in front.`;

const kindSection = (kind: Kind): string => {
  const entry = entryOf(kind);
  const serial = entry.serial === 'task' ? ' Messages of one task are handled one after another.' : '';
  const message = { type: kind, payload: examplePayload(kind) };
  const json = JSON.stringify(message, null, 2).replaceAll("'", '’');
  return `### ${kind}

${entry.says} Tried again up to ${entry.retries} times.${serial}

${fieldTable(payloads.get(kind) ?? {})}

\`\`\`sh
redis-cli XADD '${keys.inbox(entry.to, 'NORMAL')}' '*' m '${json}'
\`\`\``;
};

/** One schema for every message: the envelope, and for each type its payload. */
export const messageSchema = (): string => {
  const envelope = schemaOf(envelopeSchema);
  const branch = (kind: Kind) => {
    const { $defs: _, ...payload } = payloads.get(kind) ?? {};
    return {
      title: kind,
      description: entryOf(kind).says,
      properties: { type: { const: kind }, to: { properties: { service: { const: entryOf(kind).to } } }, payload },
      required: ['type', 'payload'],
    };
  };
  const whole = {
    $schema: 'https://json-schema.org/draft/2020-12/schema',
    title: 'A NEXUS message, protocol 1.0',
    ...envelope,
    oneOf: kinds.map(branch),
    $defs: shapes,
  };
  return `${JSON.stringify(whole, null, 2)}\n`;
};
