import { catalog, type Kind } from '@nexus/shared/messages';
import { expect, test } from 'vitest';
import { readEnvelope } from '../shared/src/bus/envelope.ts';
import { examplePayload, messageSchema, messagesPage } from './message-pages.ts';

const kinds = Object.keys(catalog) as Kind[];

test.each(kinds)('the example of %s on the page is a message that its service takes', (kind) => {
  const page = messagesPage('');
  const block = page.split(`### ${kind}\n`)[1] ?? '';
  const json = /' '\*' m '([\s\S]*?)'\n```/.exec(block)?.[1] ?? '';
  const message = readEnvelope(json, catalog[kind].to, '1-0');
  expect(message.type).toBe(kind);
  expect(message.payload).toMatchObject(catalog[kind].payload.parse(examplePayload(kind)));
});

test('the schema has a branch for every kind, and every shape it refers to', () => {
  const schema = JSON.parse(messageSchema()) as { oneOf: { title: string }[]; $defs: Record<string, unknown> };
  expect(schema.oneOf.map(({ title }) => title)).toEqual(kinds);
  const named = Array.from(messageSchema().matchAll(/"#\/\$defs\/(\w+)"/g), ([, name]) => name ?? '');
  expect(named.filter((name) => !(name in schema.$defs))).toEqual([]);
});
