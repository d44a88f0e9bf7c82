import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { parse } from 'yaml';
import { containerSettings, readSections } from './config-pages.ts';
import { root } from './parts.ts';

type Compose = { services: Record<string, { environment?: Record<string, string>; env_file?: string }> };
const compose = parse(readFileSync(join(root, 'docker-compose.yml'), 'utf8'), { merge: true }) as Compose;
const sections = await readSections();
const fromOutside = containerSettings(sections, '#').split('\n').slice(1);
const services = sections.filter(({ title }) => title in compose.services);
const ofAll = sections.filter(({ title }) => title.startsWith('Every ')).flatMap(({ settings }) => settings);

test.each(services)(
  'every setting of $title reaches its container, a secret of others does not',
  ({ title, settings }) => {
    const { environment = {}, env_file } = compose.services[title] ?? {};
    const own = [...ofAll, ...settings];
    const unreached = own.filter(({ name }) => !(name in environment) && !fromOutside.includes(name));
    expect(unreached.map(({ name }) => name)).toEqual([]);
    expect(env_file).toBe('deploy/settings.env');
    const secrets = sections.flatMap((one) => one.settings).filter(({ secret }) => secret);
    const foreign = secrets.filter(({ name }) => name in environment && !own.some((one) => one.name === name));
    expect(foreign.map(({ name }) => name)).toEqual([]);
  },
);

test('no secret is among what every container takes', () => {
  const secrets = sections.flatMap(({ settings }) => settings).filter(({ secret }) => secret);
  expect(secrets.length).toBeGreaterThan(5);
  expect(secrets.filter(({ name }) => fromOutside.includes(name))).toEqual([]);
  expect(services).toHaveLength(6);
});
