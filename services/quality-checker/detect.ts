/**
 * What a project declares about itself: how it is set up, and which checks it has. Nothing is guessed that the
 * project does not say.
 *
 *   set-up   the task's own commands, else what the lock file wants, else an install without a lock file, else none
 *   checks   those of the task, then those that the definitions in `checks/` find
 */
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { CheckRequest } from '@nexus/shared/messages/domain';
import type { CheckDefinition, Manifest, PlannedCheck, Project } from './define-check.ts';

export type GatePlan = { setup: string[]; checks: PlannedCheck[] };

/** Reads what a checkout declares. `files` are its tracked files, `changed` those that the candidate touched. */
export const detect = async (options: {
  folder: string;
  files: string[];
  changed: string[];
  setup: readonly string[];
  asked: readonly CheckRequest[];
  definitions: readonly CheckDefinition[];
}): Promise<GatePlan> => {
  const { folder, files, definitions, asked } = options;
  const read = (path: string) => readFile(join(folder, path), 'utf8').catch(() => '');
  const manifest = manifestOf(await read('package.json'));
  const has = (name: string) => files.includes(name);
  const lock = locks.find(({ file }) => has(file)) ?? managerOf(manifest);
  const changed = options.changed.filter(has);
  const project: Project = { folder, files, manifest, runner: lock.runner, asked, changed, read };
  const setup = options.setup.length > 0 ? [...options.setup] : await setupOf(project, lock);
  return { setup, checks: await planChecks(project, definitions) };
};

/** The files that decide how a project is set up and which checks it declares. */
export const decidesSetup = (path: string): boolean =>
  /(?:^|\/)(?:package\.json|\.npmrc|\.yarnrc\.yml|pnpm-workspace\.yaml)$/.test(path) ||
  locks.some(({ file }) => path === file || path.endsWith(`/${file}`));

/** A check that runs the first script of these names that the manifest declares. */
export const script = (
  project: Project,
  name: string,
  scripts: readonly string[],
  reads: PlannedCheck['reads'],
): PlannedCheck[] => {
  const declared = scripts.find((one) => (project.manifest?.scripts[one] ?? '').trim() !== '');
  if (declared === undefined) return [];
  return [
    { name, command: declared === 'test' ? testCommand(project.runner) : `${project.runner} ${declared}`, reads },
  ];
};

/** `bun test` is bun's own runner, not the script. */
const testCommand = (runner: string): string =>
  runner === 'bun run' ? 'bun run test' : runner.replace(/run$/, 'test');

/** How a package manager is known, how it runs a script, and how it installs. */
type Lock = { file: string; runner: string; install: string };

const locks: Lock[] = [
  { file: 'package-lock.json', runner: 'npm run', install: 'npm ci' },
  { file: 'npm-shrinkwrap.json', runner: 'npm run', install: 'npm ci' },
  { file: 'pnpm-lock.yaml', runner: 'pnpm run', install: 'pnpm install --frozen-lockfile' },
  { file: 'yarn.lock', runner: 'yarn run', install: 'yarn install --immutable' },
  { file: 'bun.lock', runner: 'bun run', install: 'bun install --frozen-lockfile' },
  { file: 'bun.lockb', runner: 'bun run', install: 'bun install --frozen-lockfile' },
];

/** Without a lock file the manifest may name its manager; it installs what it finds. */
const managerOf = (manifest: Manifest | null): Lock => {
  const named = /^(pnpm|yarn|bun)@/.exec(String(manifest?.packageManager ?? ''))?.[1];
  const install = named === undefined ? 'npm install --no-package-lock' : `${named} install`;
  return { file: '', runner: `${named ?? 'npm'} run`, install };
};

const setupOf = async (project: Project, lock: Lock): Promise<string[]> => {
  const { manifest } = project;
  if (manifest === null || !needsInstall(manifest)) return [];
  const yarnOne = lock.file === 'yarn.lock' && (await project.read('yarn.lock')).includes('# yarn lockfile v1');
  return [yarnOne ? 'yarn install --frozen-lockfile' : lock.install];
};

const dependencyFields = ['dependencies', 'devDependencies', 'optionalDependencies', 'peerDependencies', 'workspaces'];
const installScripts = ['preinstall', 'install', 'postinstall', 'prepare'];

/** A project without dependencies needs no network and no seconds. */
const needsInstall = (manifest: Manifest): boolean =>
  dependencyFields.some((field) => Object.keys((manifest[field] as object | undefined) ?? {}).length > 0) ||
  installScripts.some((name) => manifest.scripts[name] !== undefined);

const manifestOf = (text: string): Manifest | null => {
  try {
    const content: unknown = JSON.parse(text);
    if (content === null || typeof content !== 'object' || Array.isArray(content)) return null;
    const scripts = Object.entries((content as { scripts?: object }).scripts ?? {});
    return { ...content, scripts: Object.fromEntries(scripts.filter(([, command]) => typeof command === 'string')) };
  } catch {
    return null;
  }
};

/** All commands, each once and each name once; what the task asks for wins over what the project declares. */
const planChecks = async (project: Project, definitions: readonly CheckDefinition[]): Promise<PlannedCheck[]> => {
  const planned: PlannedCheck[] = [];
  for (const definition of definitions) {
    const hasCommand = planned.some(({ command }) => command !== null);
    if (definition.lastResort && hasCommand) continue;
    for (const check of await definition.plan(project)) {
      if (check.command !== null && planned.some(({ command }) => command === check.command)) continue;
      if (check.command === null && planned.some(({ asked }) => asked)) continue;
      planned.push({ ...check, name: freeName(check.name, planned) });
    }
  }
  return planned;
};

const freeName = (name: string, planned: PlannedCheck[]): string => {
  let free = name;
  for (let count = 2; planned.some((check) => check.name === free); count++) free = `${name}-${count}`;
  return free;
};
