/**
 * The leash: a small process between a service and a program that must not outlive it (rule 21).
 *
 * Started by `run({ leashed: true })` with one open socket, descriptor 3, its lifeline. The first line on it is the
 * order (program, arguments, folder, environment, mark). Then the lifeline is silent; when it ends, the service is
 * dead (kill -9 closes it, too), and the leash ends everything that bears the mark: TERM, KILL after 2 s, looking
 * again until nothing is left. When the program ends first, the leash answers on the lifeline how it ended, and stays
 * until it is let go by a second line: what the program left behind may outlive the service, too.
 * Standard input, output and error are the program's own: nothing passes through here.
 *
 *     waiting → running → answered → let go
 *        └────────┴──────────┴─ lifeline ends or TERM → ending → gone
 *
 * The leash does not bear the mark itself, so whoever ends the tree by its mark leaves it to report the end.
 */
import { spawn } from 'node:child_process';
import { Socket } from 'node:net';
// biome-ignore lint/correctness/useImportExtensions: plain JavaScript with its types beside it
import { endTree } from './marked.mjs';

// Whoever ends what works unseen in the folder of the program must not find the leash there.
process.chdir('/');

const graceMs = 2000;
const lifeline = new Socket({ fd: 3, readable: true, writable: true });
let mode = 'waiting';
let order;
let child;

const begin = (text) => {
  mode = 'running';
  order = JSON.parse(text);
  const { file, args, folder, env } = order;
  child = spawn(file, args, { cwd: folder, env, detached: true, stdio: ['inherit', 'inherit', 'inherit'] });
  child.once('error', (error) => answer({ failed: error.code ?? 'UNKNOWN', says: error.message }));
  child.once('exit', (exitCode, signal) => answer({ exitCode, signal }));
};

const answer = (how) => {
  if (mode !== 'running') return;
  mode = 'answered';
  lifeline.write(`${JSON.stringify(how)}\n`);
};

const end = async () => {
  if (mode === 'ending') return;
  const rootEnded = mode === 'answered';
  mode = 'ending';
  if (order !== undefined) {
    const folder = order.ownFolder ? order.folder : undefined;
    const tree = { entry: `NEXUS_MARK=${order.mark}`, root: child?.pid, rootEnded, folder };
    // Until nothing is left: what is stuck in the kernel now may be killable later.
    while ((await endTree(tree, graceMs)).survivors.length > 0);
  }
  process.exit(0);
};

let received = '';
lifeline.setEncoding('utf8');
lifeline.on('data', (chunk) => {
  // Nothing else is said behind the answer.
  if (mode === 'answered') process.exit(0);
  if (mode !== 'waiting') return;
  received += chunk;
  if (received.includes('\n')) begin(received);
});
lifeline.on('error', end);
lifeline.on('close', end);
lifeline.on('end', end);
for (const signal of ['SIGTERM', 'SIGINT', 'SIGHUP']) process.on(signal, end);
