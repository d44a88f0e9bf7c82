/**
 * `npm run dev`: the fleet in the foreground, with everything it says.
 *
 *   npm run dev                              gateway on NEXUS_PORT (8080), one worker
 *   npm run dev -- --workers 2 --port 0      0 takes a free port
 *   npm run dev -- --only worker-agent       only the log of these services (may be repeated)
 *
 * Rehearsals are allowed. Logs are also in NEXUS_HOME/logs. Nothing is watched and nothing is restarted: Ctrl-C
 * and the up-arrow key take two seconds, and no half-old fleet is ever debugged.
 */
import { closeSync, existsSync, openSync, readSync, statSync } from 'node:fs';
import { makeshiftWarning } from '@nexus/shared/config';
import { readConfig } from '../services/cli/config.ts';
import { exitCodes, toFailure } from '../services/cli/exit-codes.ts';
import { howEnded, launchFleet } from '../services/cli/fleet.ts';
import { forgetFleet, lives, readFleet, writeFleet } from '../services/cli/fleet-state.ts';
import { readableLine } from '../services/cli/log-lines.ts';
import { painter } from '../services/cli/output.ts';
import { readOptions } from './options.ts';

const { values: options } = readOptions(import.meta.filename, {
  options: {
    workers: { type: 'string' },
    port: { type: 'string' },
    only: { type: 'string', multiple: true, default: [] },
  },
});
const paint = painter(process.stdout.isTTY === true && !process.env.NO_COLOR);

const main = async (signal: AbortSignal): Promise<void> => {
  const config = readConfig();
  if (readFleet(config.home)?.processes.some(lives)) {
    throw new Error(`A fleet runs already in ${config.home}: npx nexus down, or another NEXUS_HOME.`);
  }
  const names = ['gateway', 'orchestrator', 'project-manager', 'worker-agent', 'quality-checker', 'finalizer'];
  const stopFollowing = followLogs(`${config.home}/logs`, names);
  try {
    const fleet = await launchFleet({
      home: config.home,
      prefix: config.fabric.prefix,
      workers: Number(options.workers ?? config.workers),
      port: Number(options.port ?? config.port),
      host: config.host,
      attached: true,
      environment: { NEXUS_REHEARSAL: 'on' },
      signal,
    });
    writeFleet(config.home, fleet.state);
    fleet.onDeath((ended) => console.log(paint('red', `${ended.name} ended ${howEnded(ended)}`)));
    console.log(paint('green', `up: ${fleet.state.url}, documentation at ${fleet.state.url}/api/docs; Ctrl-C ends it`));
    console.log(makeshiftWarning(config.home) ?? `everything is kept in ${config.home}`);
    await new Promise((resolve) => signal.addEventListener('abort', resolve, { once: true }));
    const killed = await fleet.stop();
    if (killed.length > 0) console.log(paint('red', `killed, because they did not drain: ${killed.join(', ')}`));
    forgetFleet(config.home);
  } finally {
    stopFollowing();
  }
};

/** Prints what is added to the logs from now on; returns how to stop, which prints the rest first. */
const followLogs = (folder: string, services: string[]): (() => void) => {
  const workers = Array.from({ length: 64 }, (_, at) => `worker-agent-${at + 2}`);
  const wanted = [...services, ...workers].filter(
    (name) => options.only.length === 0 || options.only.some((only) => name.startsWith(only)),
  );
  const files = wanted.map((name) => ({ name, file: `${folder}/${name}.log` }));
  const read = new Map(files.map(({ file }) => [file, existsSync(file) ? statSync(file).size : 0]));
  const look = () => {
    for (const { name, file } of files) {
      const text = added(file, read);
      if (text === '') continue;
      for (const line of text.split('\n')) console.log(`${paint('dim', `${name} |`)} ${readableLine(line)}`);
    }
  };
  const timer = setInterval(look, 150);
  return () => {
    clearInterval(timer);
    look();
  };
};

/** The whole lines that a file has grown by since the last look. */
const added = (file: string, read: Map<string, number>): string => {
  if (!existsSync(file)) return '';
  const from = read.get(file) ?? 0;
  const buffer = Buffer.alloc(Math.min(1_000_000, Math.max(0, statSync(file).size - from)));
  const handle = openSync(file, 'r');
  const length = readSync(handle, buffer, 0, buffer.length, from);
  closeSync(handle);
  const end = buffer.subarray(0, length).lastIndexOf(10);
  read.set(file, from + end + 1);
  return buffer.subarray(0, Math.max(0, end)).toString('utf8');
};

const ending = new AbortController();
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(signal, () => ending.abort(signal));

try {
  await main(ending.signal);
} catch (error) {
  const failure = toFailure(error);
  if (!ending.signal.aborted) console.error(`dev: ${failure.message}\n${failure.advice.join('\n')}`);
  process.exitCode = failure.exit === 'config' ? exitCodes.config.code : 1;
}
