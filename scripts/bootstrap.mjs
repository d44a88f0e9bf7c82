/**
 * Starts a script of this project on a machine that has Node 20, npm and git, and nothing else.
 *
 *   node scripts/bootstrap.mjs [--no-redis] <script.ts> [arguments…]
 *
 * Plain JavaScript, because it runs before anything is installed. It installs the packages (only when
 * package-lock.json has changed), finds or starts a Redis (`provide-redis.mjs`), runs the script with
 * the project's own Node and REDIS_URL set, passes signals on, and ends what it started. Progress goes
 * to standard error, so standard output is the script's alone. Exit code: the script's; 69 where
 * something is missing that cannot be put right here.
 */
import { spawn, spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { constants } from 'node:os';
import { delimiter, dirname, join, sep } from 'node:path';
import { fileURLToPath } from 'node:url';
import { onPath, provideRedis, Unavailable } from './provide-redis.mjs';

const root = dirname(dirname(fileURLToPath(import.meta.url)));
const modules = join(root, 'node_modules');
const nodeWanted = 26;
const began = Date.now();

const main = async ([first, ...others]) => {
  const withRedis = first !== '--no-redis';
  const [script, ...rest] = withRedis ? [first, ...others] : others;
  if (!script) throw new Unavailable('no script was named: node scripts/bootstrap.mjs [--no-redis] <script.ts>');
  demandMachine();
  await install();
  const node = ownNode();
  const redis = withRedis ? await provideRedis({ say }) : undefined;
  if (redis) say(`Redis is ready (${redis.how})`);
  try {
    return await run(node, [script, ...rest], redis ? { REDIS_URL: redis.url } : {});
  } finally {
    await redis?.end();
  }
};

const say = (line) => process.stderr.write(`nexus: ${line} (${((Date.now() - began) / 1000).toFixed(1)} s)\n`);

/** What cannot be installed from here: a Node that is new enough to begin with, and git. */
const demandMachine = () => {
  const major = Number(process.versions.node.split('.')[0]);
  if (major < 20) throw new Unavailable(`this is Node ${process.versions.node}; Node 20 or newer is needed to begin.`);
  if (!onPath('git')) throw new Unavailable('git is missing, and everything here is kept in git. Install it first.');
};

/** Runs `npm ci` unless what is installed is what the lock file says. */
const install = async () => {
  const lock = readFileSync(join(root, 'package-lock.json'), 'utf8');
  const stamp = join(modules, '.nexus-lock');
  const hash = createHash('sha256').update(`${process.platform} ${process.arch} ${lock}`).digest('hex');
  const installed = () => textOf(stamp) === hash || agrees(JSON.parse(lock));
  if (installed()) return;
  const release = await holdInstallation();
  try {
    if (installed()) return;
    say('installing packages; the first time this takes about 15 seconds');
    const outside = pathOutside();
    const npm = spawnSync('npm', ['ci', '--include=dev', '--loglevel=error'], {
      cwd: root,
      stdio: ['ignore', 2, 2],
      env: { ...process.env, PATH: outside, npm_config_update_notifier: 'false' },
    });
    if (npm.error) throw new Unavailable(`npm cannot be started: ${npm.error.message}`);
    if (npm.status !== 0)
      throw new Unavailable(`\`npm ci\` failed with exit code ${npm.status}; what it said is above.`);
    writeFileSync(stamp, hash);
    say('packages are installed');
  } finally {
    release();
  }
};

/** The path without our own node_modules: `npm ci` begins by deleting the Node that lies there. */
const pathOutside = () =>
  (process.env.PATH ?? '')
    .split(delimiter)
    .filter((directory) => !directory.startsWith(modules + sep))
    .join(delimiter);

/** True if npm's own record of node_modules has every package of the lock file, so nothing is to be done. */
const agrees = (lock) => {
  const record = textOf(join(modules, '.package-lock.json'));
  if (record === undefined) return false;
  const installed = JSON.parse(record).packages;
  return Object.entries(lock.packages).every(
    ([path, wanted]) =>
      !path.startsWith('node_modules/') ||
      installed[path]?.version === wanted.version ||
      (wanted.optional === true && !installed[path]),
  );
};

/** One installation at a time in one checkout; a holder that is dead holds nothing. */
const holdInstallation = async () => {
  const file = join(root, '.nexus', 'installing');
  mkdirSync(dirname(file), { recursive: true });
  for (let told = false; ; ) {
    try {
      writeFileSync(file, String(process.pid), { flag: 'wx' });
      return () => rmSync(file, { force: true });
    } catch (error) {
      if (error.code !== 'EEXIST') throw error;
    }
    if (!isAlive(Number(textOf(file)))) rmSync(file, { force: true });
    else if (!told) say('another command is installing the packages; waiting for it');
    told = true;
    await new Promise((resolve) => setTimeout(resolve, 200));
  }
};

const isAlive = (pid) => {
  try {
    return pid > 0 && process.kill(pid, 0);
  } catch (error) {
    return error.code === 'EPERM';
  }
};

const textOf = (file) => {
  try {
    return readFileSync(file, 'utf8');
  } catch {
    return undefined;
  }
};

/** The project's own Node; npm leaves it out where install scripts are switched off. */
const ownNode = () => {
  const candidates = [join(modules, '.bin', 'node'), process.execPath];
  const found = candidates.find((node) => {
    const { stdout } = spawnSync(node, ['-p', 'process.versions.node'], { encoding: 'utf8' });
    return Number((stdout ?? '').split('.')[0]) >= nodeWanted;
  });
  if (found) return found;
  throw new Unavailable(
    `the project's own Node ${nodeWanted} is not in node_modules; npm was probably told to ignore install scripts. ` +
      'Type: npm rebuild node --ignore-scripts=false',
  );
};

/** Runs the script to its end and gives its exit code; signals that reach us go on to it. */
const run = (node, words, more) =>
  new Promise((resolve, reject) => {
    const environment = {
      ...process.env,
      ...more,
      PATH: [join(modules, '.bin'), pathOutside()].join(delimiter),
      NODE_COMPILE_CACHE: process.env.NODE_COMPILE_CACHE ?? join(modules, '.cache', 'nexus-compile'),
    };
    const child = spawn(node, words, { stdio: 'inherit', env: environment });
    for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP']) {
      // A terminal sends Ctrl-C to every process of the group itself: a second one would mean "at once".
      process.on(signal, () => (signal === 'SIGINT' && process.stdin.isTTY) || child.kill(signal));
    }
    child.on('error', reject);
    child.on('exit', (code, signal) => resolve(code ?? 128 + (constants.signals[signal] ?? 0)));
  });

try {
  process.exitCode = await main(process.argv.slice(2));
} catch (error) {
  const known = error instanceof Unavailable;
  process.stderr.write(`nexus: ${known ? error.message : error.stack}\n`);
  process.exitCode = known ? error.exitCode : 1;
}
