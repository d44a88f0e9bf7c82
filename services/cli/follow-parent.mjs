/**
 * Loaded (`node --import`) into a service that shall not outlive who started it: descriptor 3 is a pipe
 * whose other end the starter holds, so it ends when that process ends, however it ends. Then the service
 * drains as on SIGTERM. Plain JavaScript, because it is loaded before anything else.
 */
import { Socket } from 'node:net';

const pipe = new Socket({ fd: 3, readable: true, writable: false });
pipe.on('error', () => {});
pipe.on('close', () => process.kill(process.pid, 'SIGTERM'));
pipe.resume();
pipe.unref();
