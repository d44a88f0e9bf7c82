/**
 * `deploy/CONFIG.md` and `.env.example`, from every declaration of settings: those of `shared`, and the
 * `config.ts` of each service. Part of `docs.ts`.
 */
import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import type { ConfigDefinition, Setting } from '@nexus/shared/config';
import { root } from './parts.ts';

export type Section = { title: string; settings: Setting<unknown>[] };

const composeTitle = 'docker-compose.yml';

/** What docker-compose.yml reads beyond the settings of the services. */
const composeSettings: Setting<unknown>[] = [
  ['NEXUS_GATEWAY_PORT', '8080', 'The port on this machine, loopback only, where the gateway is published.'],
  ['NEXUS_REPOSITORIES_DIR', './repositories', 'The folder of this machine that the fleet sees as /repositories.'],
].map(([name = '', fallback = '', says = '']) => ({ name, fallback, says }) as Setting<unknown>);

/** Every section of settings, in the order in which a reader meets them. */
export const readSections = async (): Promise<Section[]> => {
  const shared = [
    { title: 'Every process', file: 'shared/src/config/config.ts' },
    { title: 'Every process that takes messages', file: 'shared/src/bus/bus.ts' },
    { title: 'Every service', file: 'shared/src/service/service.ts' },
  ];
  const services = foldersOf('services').map((name) => ({ title: name, file: `services/${name}/config.ts` }));
  const sections = await Promise.all(
    [...shared, ...services].map(async ({ title, file }) => ({ title, settings: await settingsOf(file) })),
  );
  return [...sections, { title: composeTitle, settings: composeSettings }].filter(
    ({ settings }) => settings.length > 0,
  );
};

const foldersOf = (folder: string): string[] =>
  readdirSync(join(root, folder), { withFileTypes: true })
    .filter((entry) => entry.isDirectory())
    .map(({ name }) => name)
    .sort();

/** The settings that a file exports, in whatever definitions. */
const settingsOf = async (file: string): Promise<Setting<unknown>[]> => {
  if (!(await isThere(file))) return [];
  const module = (await import(join(root, file))) as Record<string, unknown>;
  return Object.values(module)
    .filter(isDefinition)
    .flatMap((definition) => Object.values(definition));
};

const isThere = async (file: string): Promise<boolean> => {
  try {
    return readdirSync(join(root, file, '..')).includes(file.split('/').at(-1) ?? '');
  } catch {
    return false;
  }
};

const isDefinition = (value: unknown): value is ConfigDefinition =>
  typeof value === 'object' &&
  value !== null &&
  Object.keys(value).length > 0 &&
  Object.values(value).every((one) => typeof one === 'object' && one !== null && 'schema' in one && 'says' in one);

export const configPage = (sections: Section[], notice: string): string =>
  [
    `# Settings\n\n${notice}`,
    `All settings are environment variables; a \`.env\` file beside docker-compose.yml is read by compose. A service
that finds a wrong one says everything that is wrong with its settings and ends with exit code 78. Durations are
written \`250ms\`, \`30s\`, \`5m\`, \`24h\`; sizes \`64kB\`, \`10MB\`; flags \`on\` or \`off\`. A **secret** may
also come from a file: \`NAME_FILE=/run/secrets/name\`. Secrets are never printed.`,
    ...sections.map(({ title, settings }) => `## ${title}\n\n${table(settings)}`),
  ].join('\n\n');

const table = (settings: Setting<unknown>[]): string => {
  const rows = settings.map(({ name, fallback, says, secret, required }) => {
    const value = required ? '**needed**' : fallback === undefined || fallback === '' ? '' : `\`${fallback}\``;
    return `| \`${name}\` | ${value} | ${secret ? '**Secret.** ' : ''}${says.replaceAll('|', '\\|')} |`;
  });
  return ['| setting | default | |', '|---|---|---|', ...rows].join('\n');
};

/**
 * The settings that every container takes from whoever starts them: names without values, which Compose looks up in the
 * environment and in `.env`, and leaves out where nobody sets them. Secrets are not among them: the compose file gives
 * each to the services that need it. What it sets itself comes before these.
 */
export const containerSettings = (sections: Section[], notice: string): string => {
  const ours = sections.filter(({ title }) => title !== 'cli' && title !== composeTitle);
  const names = ours.flatMap(({ settings }) => settings.filter(({ secret }) => !secret).map(({ name }) => name));
  return [notice, ...[...new Set(names)].sort()].join('\n');
};

/** Every setting once, commented out, at its default. */
export const environmentExample = (sections: Section[], notice: string): string => {
  const seen = new Set<string>();
  const blocks = sections.map(({ title, settings }) => {
    const lines = settings.flatMap(({ name, fallback, says }) => {
      if (seen.has(name)) return [];
      seen.add(name);
      return [`# ${says.replaceAll('\n', ' ')}`, `#${name}=${fallback ?? ''}`];
    });
    return lines.length === 0 ? '' : [`# --- ${title}`, ...lines].join('\n');
  });
  return [notice, ...blocks.filter(Boolean)].join('\n\n');
};
