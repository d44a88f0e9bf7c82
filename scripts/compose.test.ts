/** The compose file hands on what its services can be told about models and money: a setting in .env is no wish. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { askConfig, embedConfig } from '@nexus/shared/model';
import { spendConfig } from '@nexus/shared/spend';
import { expect, test } from 'vitest';
import { parse } from 'yaml';
import { root } from './parts.ts';

type Service = { environment?: Record<string, unknown>; env_file?: string };
type Compose = { services: Record<string, Service> };
const { services } = parse(readFileSync(join(root, 'docker-compose.yml'), 'utf8'), { merge: true }) as Compose;

/** The names in a service's file of them: a name alone takes its value from outside. */
const namesIn = ({ env_file: file }: Service): string[] =>
  file === undefined ? [] : readFileSync(join(root, file), 'utf8').split('\n');

/** A file, and a program, lie in an image and not in a setting. */
const ofImages = ['NEXUS_PRICES', 'NEXUS_CLAUDE_PROGRAM'];
const known = new Set(
  [askConfig, embedConfig, spendConfig]
    .flatMap((settings) => Object.values(settings).map(({ name }) => name))
    .filter((name) => !ofImages.includes(name)),
);

test.each(['gateway', 'orchestrator', 'project-manager', 'worker-agent'])(
  '%s is told each of its settings of models and money that a person gives',
  async (name) => {
    const service = services[name] ?? {};
    const { environment = {} } = service;
    const passed = new Set([...Object.keys(environment), ...namesIn(service)]);
    const module = (await import(join(root, 'services', name, 'config.ts'))) as Record<string, object>;
    const declared = Object.values(module).flatMap((one) => Object.values(one) as { name?: string }[]);
    const wanted = [...new Set(declared.flatMap((one) => (one?.name && known.has(one.name) ? [one.name] : [])))];
    expect(wanted).toContain('NEXUS_BUDGET_DAY_USD');
    expect(wanted.filter((one) => !passed.has(one))).toEqual([]);
    const said = wanted.filter((one) => Object.hasOwn(environment, one));
    for (const one of said) expect(environment[one]).toMatch(new RegExp(`^\\$\\{${one}:-\\w*\\}$`));
  },
);
