/**
 * The services' code as V8 compiled it, on the disk: a service that starts with it needs 16 MB and half a second of
 * CPU less. It lies with the installation, where scripts and the command line keep theirs, too.
 *
 * Node writes it when a process ends. Six services that wrote all of it at once took eight seconds to drain, so before
 * the first start of all a single process reads what they will need, and writes it.
 */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { projectRoot } from './config.ts';

/** Where it lies, unless NODE_COMPILE_CACHE says otherwise. */
export const codeCache = join(projectRoot, 'node_modules', '.cache', 'nexus-compile');

/** A program that loads the files named by its arguments, and does nothing with them. */
const loader = 'for (const address of process.argv.slice(1)) await import(address);';
const patienceMs = 10_000;

/**
 * Fills the cache with the code of these files, once for every version of Node. It is only a cache: whatever goes
 * wrong, the services start without it.
 */
export const fillCodeCache = async (
  folder: string,
  files: readonly string[],
  nodeFlags: readonly string[],
): Promise<void> => {
  if (!isFirst(folder)) return;
  const addresses = files.map((file) => pathToFileURL(file).href);
  const reader = spawn(process.execPath, [...nodeFlags, '--input-type=module', '-e', loader, ...addresses], {
    stdio: 'ignore',
    env: { NODE_COMPILE_CACHE: folder },
    timeout: patienceMs,
  });
  await once(reader, 'exit').catch(() => undefined);
};

/** True for whoever comes first; a folder that cannot be written is left alone. */
const isFirst = (folder: string): boolean => {
  try {
    mkdirSync(folder, { recursive: true });
    writeFileSync(join(folder, `services-${process.version}`), '', { flag: 'wx' });
    return true;
  } catch {
    return false;
  }
};
