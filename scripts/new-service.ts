/**
 * `npm run new-service <name>`: stamps a service that runs and is tested, with one first message kind.
 *
 * It writes services/<name>/ (package.json, main.ts, config.ts, on-<name>-pinged.ts and its test) and adds
 * the name to the places that list services: the closed list in shared/src/messages/domain.ts, the
 * catalog, deploy/Dockerfile and docker-compose.yml. It refuses a name that is taken or not kebab-case.
 */
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { readOptions } from './options.ts';
import { root } from './parts.ts';

/** Stamps the service below `folder`; returns the paths written. Throws an Error that says what is wrong. */
export const stampService = (folder: string, name: string): string[] => {
  if (!/^[a-z][a-z0-9]*(-[a-z0-9]+)*$/.test(name)) {
    throw new Error(`"${name}" is no name for a service; take lower-case words with dashes, such as cost-keeper`);
  }
  if (existsSync(join(folder, 'services', name))) throw new Error(`services/${name} exists already`);
  const edited = edits(name).map(({ path, before, add }) => {
    const text = readFileSync(join(folder, path), 'utf8');
    if (!text.includes(before)) throw new Error(`${path} has no line "${before.trim()}" to add the service at`);
    return [path, text.replace(before, () => `${add}${before}`)] as const;
  });
  const written = [...Object.entries(files(name)), ...edited];
  for (const [path, text] of written) {
    mkdirSync(dirname(join(folder, path)), { recursive: true });
    writeFileSync(join(folder, path), text);
  }
  return written.map(([path]) => path);
};

const titleOf = (name: string): string => name.replaceAll('-', ' ');
const camelOf = (name: string): string => name.replaceAll(/(?:^|-)(\w)/g, (_, letter: string) => letter.toUpperCase());

const files = (name: string): Record<string, string> => ({
  [`services/${name}/package.json`]: `${JSON.stringify(
    {
      name: `@nexus/${name}`,
      version: '0.1.0',
      private: true,
      type: 'module',
      license: 'MIT',
      dependencies: { '@nexus/shared': '0.1.0', zod: '^4.6.7' },
    },
    null,
    2,
  )}\n`,
  [`services/${name}/config.ts`]: `/** The settings of the ${titleOf(name)}. */
import { defineConfig, is, setting } from '@nexus/shared/config';

export const config = defineConfig({
  slots: setting('NEXUS_SLOTS', is.count(1, 256), 'How many messages are handled side by side.', { default: '4' }),
});
`,
  [`services/${name}/main.ts`]: `/** The ${titleOf(name)}: one sentence that says what it does and what it owns. */
import { defineService, serve } from '@nexus/shared/service';
import { config } from './config.ts';
import { on${camelOf(name)}Pinged } from './on-${name}-pinged.ts';

export const service = defineService({
  name: '${name}',
  config,
  mode: 'take',
  slots: ({ slots }) => slots,
  open: async () => ({}),
  handlers: { '${name}.pinged': on${camelOf(name)}Pinged },
});

if (import.meta.main) await serve(service);
`,
  [`services/${name}/on-${name}-pinged.ts`]: `import { done, type Handler } from '@nexus/shared/bus';

/** Shows that messages arrive: logs the text. Replace it by the first real kind. */
export const on${camelOf(name)}Pinged: Handler<'${name}.pinged'> = ({ payload }, { log }) => {
  log.info({ text: payload.text }, 'pinged');
  return done();
};
`,
  [`services/${name}/on-${name}-pinged.test.ts`]: `import { silentLog } from '@nexus/shared/telemetry';
import { expect, test } from 'vitest';
import { on${camelOf(name)}Pinged } from './on-${name}-pinged.ts';

test('a ping is done with, and nothing follows from it', async () => {
  const message = { payload: { text: 'hello' } } as Parameters<typeof on${camelOf(name)}Pinged>[0];
  const tools = { log: silentLog() } as Parameters<typeof on${camelOf(name)}Pinged>[1];
  expect(await on${camelOf(name)}Pinged(message, tools)).toEqual({ is: 'done', publish: [], write: [] });
});
`,
});

type Edit = { path: string; before: string; add: string };

/** Where services are listed: what is added in front of which line. */
const edits = (name: string): Edit[] => [
  {
    path: 'shared/src/messages/domain.ts',
    before: ']);\nexport const priority = ',
    add: `  '${name}',\n`,
  },
  {
    path: 'shared/src/messages/messages.ts',
    before: '} as const satisfies Record<string, Entry>;',
    add: `
  // --- ${name} ---
  '${name}.pinged': define({
    ...work,
    to: '${name}',
    timeoutMs: 30_000,
    says: 'Shows that the ${titleOf(name)} takes messages.',
    payload: z.object({ text: z.string().max(1000) }),
  }),
`,
  },
  {
    path: 'deploy/Dockerfile',
    before: 'RUN npm ci --omit=dev',
    add: `COPY services/${name}/package.json services/${name}/\n`,
  },
  {
    path: 'docker-compose.yml',
    before: '\nvolumes:\n',
    add: `\n  ${name}:\n    <<: *service\n    command: ['node', 'services/${name}/main.ts']\n`,
  },
];

const main = (): number => {
  const { positionals } = readOptions(import.meta.filename, { allowPositionals: true, options: {} });
  const [name = ''] = positionals;
  try {
    for (const path of stampService(root, name)) console.log(`wrote ${path}`);
  } catch (error) {
    console.error((error as Error).message);
    return 1;
  }
  console.log(`
next:
  npm install                                  link the new workspace
  npm run docs && npm run check                the pages know it, and it compiles
  REDIS_URL=redis://127.0.0.1:6379 npx node services/${name}/main.ts
then give it its own kinds: one entry each in shared/src/messages/messages.ts, one handler file here;
the compiler says which are missing.`);
  return 0;
};

if (import.meta.main) process.exitCode = main();
