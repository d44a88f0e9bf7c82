/**
 * Proves a rehearsal's result from outside, as a stranger would: checks the branch out into an empty folder,
 * runs its tests, starts it, opens its page, shortens an address and follows it.
 */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type Command, type ProcessResult, run } from '@nexus/shared/process';

export type Proof = { tests: string; address: string; page: string };

/** Resolves with what was seen; throws an error that says what was not as it should be. */
export const verifyShortener = async (repository: string, branch: string, signal: AbortSignal): Promise<Proof> => {
  const scratch = mkdtempSync(join(tmpdir(), 'nexus-proof-'));
  const folder = join(scratch, 'snip');
  try {
    await demand(['git', 'clone', '--quiet', '--branch', branch, repository, folder], scratch, signal);
    const tested = await demand('npm test', folder, signal);
    const tests = /^(?:#|ℹ) pass (\d+)$/m.exec(tested.output)?.[1];
    if (tests === undefined || tests === '0') throw new Error(`npm test passed, but no test ran:\n${tested.output}`);
    return { tests: `${tests} tests passed`, ...(await visit(folder, scratch, signal)) };
  } finally {
    rmSync(scratch, { recursive: true, force: true });
  }
};

/** Starts the program on a free port, uses it through HTTP, and ends it. */
const visit = async (folder: string, scratch: string, signal: AbortSignal) => {
  const ended = new AbortController();
  const listening = Promise.withResolvers<string>();
  let said = '';
  const running = run({
    command: 'npm start',
    folder,
    env: { PORT: '0', HOST: '127.0.0.1', DATA_FILE: join(scratch, 'links.json') },
    timeoutMs: 60_000,
    outputBytesMax: 100_000,
    signal: AbortSignal.any([signal, ended.signal]),
    mark: `proof.${process.pid}`,
    leashed: true,
    onOutput: (chunk) => {
      said += chunk;
      const port = /http:\/\/localhost:(\d+)/.exec(said)?.[1];
      if (port !== undefined) listening.resolve(`http://127.0.0.1:${port}`);
    },
  });
  try {
    const early = running.then(() => Promise.reject(new Error(`npm start ended at once:\n${said}`)));
    const address = await Promise.race([listening.promise, early]);
    return { address, page: await use(address) };
  } finally {
    ended.abort();
    await running;
  }
};

const use = async (address: string): Promise<string> => {
  const page = await (await fetch(address)).text();
  const title = /<title>(.*?)<\/title>/.exec(page)?.[1];
  if (title === undefined) throw new Error(`${address} has no page:\n${page.slice(0, 500)}`);
  const target = 'https://example.com/a/very/long/address';
  const made = await fetch(`${address}/api/links`, { method: 'POST', body: JSON.stringify({ url: target }) });
  const { short_url } = (await made.json()) as { short_url: string };
  const followed = await fetch(short_url, { redirect: 'manual' });
  const location = followed.headers.get('location');
  if (location !== target) throw new Error(`${short_url} leads to ${location}, not to ${target}`);
  return title;
};

const demand = async (command: Command, folder: string, signal: AbortSignal): Promise<ProcessResult> => {
  const result = await run({ command, folder, timeoutMs: 120_000, outputBytesMax: 5_000_000, signal });
  if (result.exitCode === 0) return result;
  const shown = typeof command === 'string' ? command : command.join(' ');
  throw new Error(`\`${shown}\` ended with ${result.signal ?? `exit code ${result.exitCode}`}:\n${result.output}`);
};
