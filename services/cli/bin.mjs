#!/usr/bin/env node
/**
 * The first file of `nexus`, in plain JavaScript: an older Node may be the one that reads it. The command
 * itself runs TypeScript, for which that Node is started again as the one that the project brings along.
 */
import { spawn } from 'node:child_process';
import { existsSync, realpathSync } from 'node:fs';
import module from 'node:module';
import { constants } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';

const nodeWanted = 26;
const here = dirname(realpathSync(fileURLToPath(import.meta.url)));
const root = dirname(dirname(here));
const main = join(here, 'main.ts');

if (Number(process.versions.node.split('.')[0]) >= nodeWanted) {
  module.enableCompileCache?.(join(root, 'node_modules', '.cache', 'nexus-compile'));
  await import(pathToFileURL(main).href);
} else {
  const node = join(root, 'node_modules', '.bin', 'node');
  if (existsSync(node)) startAgain(node);
  else {
    process.stderr.write(
      `nexus: this is Node ${process.versions.node}, too old; NEXUS needs ${nodeWanted}. ` +
        `\`npm ci\` in ${root} brings it along.\n`,
    );
    process.exitCode = 69;
  }
}

/** @param {string} node */
function startAgain(node) {
  const child = spawn(node, [process.argv[1] ?? fileURLToPath(import.meta.url), ...process.argv.slice(2)], {
    stdio: 'inherit',
  });
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP']) {
    // A terminal sends Ctrl-C to the child by itself; a second one would mean "at once".
    process.on(signal, () => (signal === 'SIGINT' && process.stdin.isTTY) || child.kill(signal));
  }
  child.on('error', (error) => {
    process.stderr.write(`nexus: ${node} cannot be started: ${error.message}\n`);
    process.exitCode = 69;
  });
  child.on('exit', (code, signal) => {
    process.exitCode = code ?? 128 + (signal ? constants.signals[signal] : 0);
  });
}
