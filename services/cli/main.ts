/** `nexus`, once the right Node runs it: see bin.mjs. */
import { createInterface } from 'node:readline/promises';
import { readConfig } from './config.ts';
import { runCommand } from './program.ts';

const ending = new AbortController();
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
  process.on(signal, () => {
    // A second time means at once, whatever is still to be tidied.
    if (ending.signal.aborted) process.exit(signal === 'SIGINT' ? 130 : 143);
    ending.abort(signal === 'SIGHUP' ? 'SIGTERM' : signal);
  });
}
// A reader such as `head` may have enough before we are done; that is no failure of ours. A fleet that is being
// started is not left half started for that.
process.stdout.on('error', (error: NodeJS.ErrnoException) => {
  if (error.code !== 'EPIPE') throw error;
  if (process.argv[2] !== 'up') process.exit(0);
});

/** On standard error, so that what is printed can be piped. */
const ask = async (question: string): Promise<string> => {
  const asking = createInterface({ input: process.stdin, output: process.stderr });
  try {
    return await asking.question(question, { signal: ending.signal });
  } finally {
    asking.close();
  }
};

process.exitCode = await runCommand(process.argv.slice(2), {
  readConfig,
  stdout: process.stdout,
  stderr: process.stderr,
  signal: ending.signal,
  ...(process.stdin.isTTY && process.stderr.isTTY ? { ask } : {}),
});
