/**
 * Projects: what one says of itself (its manifest, its package manager, the commands that make a fresh clone of it
 * runnable), how those are carried out, and the ground on which its clones stand. Worker and gate both ask here, so an
 * agent finds the same installation that it is judged by.
 *
 *   set-up   what the lock file wants, else an install by the manager that the manifest names, else by npm;
 *            none where nothing is depended on
 *
 * A new package manager is one line of `managers`. Read on: `ground.ts`, `fences.ts` (what a project's code is started
 * in), `set-up.ts`, `set-up-cache.ts`, `set-up-key.ts`, `machine-lock.ts`.
 */
import { defineConfig, is, setting } from '@nexus/shared/config';

export { type Fenced, openFence, type SandboxState, sandboxConfig } from './fences.ts';
export { cacheEnvironment, openGround } from './ground.ts';
export { lockOnMachine } from './machine-lock.ts';
export { type SetUp, setUp } from './set-up.ts';
export { clearSetUps, type SetUpCache, setUpCacheOf } from './set-up-cache.ts';

/** The settings of every service that makes clones: to be spread into its own. */
export const projectConfig = defineConfig({
  setupTimeoutMs: setting('NEXUS_SETUP_TIMEOUT', is.duration, 'A set-up command that takes longer is ended.', {
    default: '10m',
  }),
  setupCache: setting(
    'NEXUS_SETUP_CACHE',
    is.flag,
    'Whether what `npm ci` made is kept and copied into the next clone with the same lock file.',
    { default: 'on' },
  ),
  setupCacheMax: setting(
    'NEXUS_SETUP_CACHE_MAX',
    is.bytes,
    'So much is kept of set-ups on one machine; what was used least lately goes first.',
    { default: '5GB' },
  ),
  diskReserve: setting('NEXUS_DISK_RESERVE', is.bytes, 'An attempt or a gate begins only with so much free disk.', {
    default: '500MB',
  }),
});

/** package.json, as far as anybody here asks for it. */
export type Manifest = { scripts: Record<string, string>; [field: string]: unknown };

export type PackageManager = {
  /** What runs a script of the manifest: `npm run`, `pnpm run`, `yarn run`, `bun run`. */
  runner: string;
  /** The commands that make a fresh clone runnable. */
  setup: string[];
};

/** The text of package.json, read; null where it is none. */
export const readManifest = (text: string): Manifest | null => {
  try {
    const content: unknown = JSON.parse(text);
    if (content === null || typeof content !== 'object' || Array.isArray(content)) return null;
    const scripts = Object.entries((content as { scripts?: object }).scripts ?? {});
    return { ...content, scripts: Object.fromEntries(scripts.filter(([, command]) => typeof command === 'string')) };
  } catch {
    return null;
  }
};

/** How the project is installed and its scripts are run. `read` gives the text of a file, or nothing. */
export const packageManagerOf = async (
  manifest: Manifest | null,
  has: (name: string) => boolean,
  read: (path: string) => Promise<string>,
): Promise<PackageManager> => {
  const manager = managers.find(({ lock }) => has(lock)) ?? managerOf(manifest);
  const { runner } = manager;
  if (manifest === null || !needsInstall(manifest)) return { runner, setup: [] };
  const yarnOne = manager.lock === 'yarn.lock' && (await read('yarn.lock')).includes('# yarn lockfile v1');
  return { runner, setup: [yarnOne ? 'yarn install --frozen-lockfile' : manager.install] };
};

/** The files that decide how a project is set up and which checks it declares. */
export const decidesSetup = (path: string): boolean =>
  /(?:^|\/)(?:package\.json|\.npmrc|\.yarnrc\.yml|pnpm-workspace\.yaml)$/.test(path) ||
  managers.some(({ lock }) => path === lock || path.endsWith(`/${lock}`));

type Manager = { lock: string; runner: string; install: string };

const managers: Manager[] = [
  { lock: 'package-lock.json', runner: 'npm run', install: 'npm ci' },
  { lock: 'npm-shrinkwrap.json', runner: 'npm run', install: 'npm ci' },
  { lock: 'pnpm-lock.yaml', runner: 'pnpm run', install: 'pnpm install --frozen-lockfile' },
  { lock: 'yarn.lock', runner: 'yarn run', install: 'yarn install --immutable' },
  { lock: 'bun.lock', runner: 'bun run', install: 'bun install --frozen-lockfile' },
  { lock: 'bun.lockb', runner: 'bun run', install: 'bun install --frozen-lockfile' },
];

/** Without a lock file the manifest may name its manager; it installs what it finds. */
const managerOf = (manifest: Manifest | null): Manager => {
  const named = /^(pnpm|yarn|bun)@/.exec(String(manifest?.packageManager ?? ''))?.[1];
  const install = named === undefined ? 'npm install --no-package-lock' : `${named} install`;
  return { lock: '', runner: `${named ?? 'npm'} run`, install };
};

const dependencyFields = ['dependencies', 'devDependencies', 'optionalDependencies', 'peerDependencies', 'workspaces'];
const installScripts = ['preinstall', 'install', 'postinstall', 'prepare'];

/** A project without dependencies needs no network and no seconds. */
const needsInstall = (manifest: Manifest): boolean =>
  dependencyFields.some((field) => Object.keys((manifest[field] as object | undefined) ?? {}).length > 0) ||
  installScripts.some((name) => manifest.scripts[name] !== undefined);
