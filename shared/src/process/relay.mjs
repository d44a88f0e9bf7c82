/**
 * The relay: the one way out of a sandbox without network. `node relay.mjs PORT SOCKET PROGRAM ARGUMENTS…`
 *
 * It takes connections on PORT of the sandbox's own loopback, leads each to SOCKET, behind which somebody outside
 * listens, and runs the program meanwhile. How the program ends, it ends. Signals are not for it: whoever ends the tree
 * signals the program too, and it is the program's end that counts.
 *
 * Plain JavaScript, as the leash: stripping types would cost each of them 30 ms and 27 MB.
 */
import { spawn } from 'node:child_process';
import { connect, createServer } from 'node:net';

const [port, socket, file, ...args] = process.argv.slice(2);

const server = createServer((inside) => {
  const outside = connect(socket);
  inside.pipe(outside).pipe(inside);
  inside.on('error', () => outside.destroy());
  outside.on('error', () => inside.destroy());
});

for (const signal of ['SIGTERM', 'SIGINT', 'SIGHUP']) process.on(signal, () => {});

server.listen(Number(port), '127.0.0.1', () => {
  const child = spawn(file, args, { stdio: 'inherit' });
  child.once('error', () => process.exit(127));
  child.once('exit', (exitCode, signal) => {
    if (signal === null) process.exit(exitCode);
    process.removeAllListeners(signal);
    process.kill(process.pid, signal);
  });
});
