/**
 * The name under which a set-up may be kept: everything that `npm ci` makes a `node_modules` of.
 *
 *   always               the lock file, the manifests that it names, .npmrc, Node, npm, machine, and what of the
 *                        environment npm reads
 *   and the whole tree   where those do not decide it: scripts of the project itself, or of a package that is not
 *                        known to look at nothing but itself; packages that no checksum pins
 *
 * Only npm: the stores of pnpm, yarn and bun make the same as fast by themselves, and what they leave behind is not
 * only `node_modules`.
 */
import { createHash } from 'node:crypto';
import { readFile, realpath, stat } from 'node:fs/promises';
import { homedir } from 'node:os';
import { dirname, join } from 'node:path';
import { stateOfTree } from '@nexus/shared/git';
import { allowedEnv, findProgram, run } from '@nexus/shared/process';
import { z } from 'zod';
import { readManifest } from './project.ts';

/** Raised when what lies in the cache means something else than before. */
const layout = 1;

const lockFiles = ['npm-shrinkwrap.json', 'package-lock.json'];

/** Install scripts run at set-up, and may read or write anything in the project. */
const ownScripts = ['preinstall', 'install', 'postinstall', 'prepublish', 'preprepare', 'prepare', 'postprepare'];

/** Packages whose install scripts fetch or build what is their own, and look at nothing of the project. */
const selfContained = new Set([
  ...['esbuild', 'fsevents', '@swc/core', 'sharp', '@parcel/watcher', 'unrs-resolver', 'bcrypt', 'better-sqlite3'],
  ...['msgpackr-extract', 'node', 'core-js', 'core-js-pure', 'protobufjs', 'bufferutil', 'utf-8-validate'],
]);

const lockSchema = z.object({
  lockfileVersion: z.int().min(2),
  packages: z.record(
    z.string(),
    z.object({
      link: z.boolean().optional(),
      integrity: z.string().optional(),
      inBundle: z.boolean().optional(),
      hasInstallScript: z.boolean().optional(),
    }),
  ),
});
type Lock = z.infer<typeof lockSchema>;

/**
 * The key, or null where this set-up is not to be kept: not `npm ci` alone, no lock file that can be read, or not a
 * clean checkout of a commit.
 */
export const setUpKey = async (options: {
  folder: string;
  commands: readonly string[];
  env: Readonly<Record<string, string>>;
  signal: AbortSignal;
}): Promise<string | null> => {
  const { folder, commands, signal } = options;
  if (commands.length !== 1 || commands[0] !== 'npm ci') return null;
  const { files, tree, changed, beside } = await stateOfTree(folder, signal);
  const read = (path: string) => (files.includes(path) ? readText(join(folder, path)) : Promise.resolve(''));
  const lockFile = lockFiles.find((name) => files.includes(name));
  const lockText = lockFile === undefined ? '' : await read(lockFile);
  const lock = lockSchema.safeParse(parsed(lockText));
  if (changed || beside.length > 0 || !lock.success) return null;
  const own = Object.keys(lock.data.packages).filter((path) => !path.includes('node_modules/'));
  const manifests = await Promise.all(own.map((path) => read(join(path, 'package.json'))));
  const built = own.some((path) => files.includes(join(path, 'binding.gyp')));
  const decided = !built && !manifests.some(hasInstallScripts) && isPinned(lock.data);
  const env = allowedEnv(options.env);
  const machine = await machineOf(folder, env, signal);
  if (machine === null) return null;
  const parts = {
    ...{ layout, lockText, own, manifests, machine },
    // One that the lock file does not know fails the set-up.
    projects: files.filter((path) => /(?:^|\/)package\.json$/.test(path)),
    npmrc: [await read('.npmrc'), await readText(join(env.HOME ?? homedir(), '.npmrc'))],
    environment: Object.entries(env)
      .filter(([name]) => isReadByNpm(name) || (!decided && isReadByScripts(name)))
      .sort(),
    tree: decided ? null : tree,
  };
  return createHash('sha256').update(JSON.stringify(parts)).digest('hex').slice(0, 40);
};

/** True if every package is one that a checksum names, and none runs a script that could look around. */
const isPinned = ({ packages }: Lock): boolean =>
  Object.entries(packages).every(([path, entry]) => {
    const at = path.lastIndexOf('node_modules/');
    if (at < 0 || entry.link) return true;
    if (entry.hasInstallScript && !selfContained.has(path.slice(at + 'node_modules/'.length))) return false;
    return entry.integrity !== undefined || entry.inBundle === true;
  });

const hasInstallScripts = (manifest: string): boolean => {
  const scripts = readManifest(manifest)?.scripts ?? {};
  return ownScripts.some((name) => scripts[name] !== undefined);
};

/** Where caches lie, and what npm says meanwhile, decides nothing. */
const isReadByNpm = (name: string): boolean =>
  /^(?:npm_config_|NODE_(?!EXTRA_CA_))/i.test(name) && !/^npm_config_(?:cache|audit|fund|update_notifier)$/i.test(name);

/** Scripts may read anything; what names the attempt is as good as nothing. */
const isReadByScripts = (name: string): boolean => !/^(?:NEXUS|GIT)_|^(?:PWD|SHLVL|_|TERM)$/.test(name);

/** Node, npm, processor and C library, as the commands will find them. Null where Node or npm is missing. */
const machineOf = async (folder: string, env: Record<string, string>, signal: AbortSignal) => {
  const [node, npm] = await Promise.all([findProgram('node', { folder, env }), findProgram('npm', { folder, env })]);
  if (node === null || npm === null) return null;
  const how = { folder, env, timeoutMs: 20_000, outputBytesMax: 10_000, signal };
  const { exitCode, stdout } = await run({ command: [node, '-p', askMachine], ...how });
  if (exitCode !== 0) return null;
  const file = await realpath(npm);
  const { size, mtimeMs } = await stat(file);
  return [stdout.trim(), file, size, mtimeMs, await readText(join(dirname(dirname(node)), 'etc', 'npmrc'))];
};

const askMachine =
  'process.report.excludeNetwork = true; const { glibcVersionRuntime } = process.report.getReport().header; ' +
  '[process.version, process.platform, process.arch, glibcVersionRuntime].join(" ")';

const readText = (path: string): Promise<string> => readFile(path, 'utf8').catch(() => '');

const parsed = (text: string): unknown => {
  try {
    return JSON.parse(text);
  } catch {
    return null;
  }
};
