/**
 * Runs the sides of one benchmark as processes against a redis-server, and says what they reported.
 */
import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import type { RoleOptions } from './player.ts';
import type { Server } from './server.ts';

/** `counts`: this side knows when all is done, and its report is the result. The others end when it has. */
export type Side = { role: string; counts?: boolean; stations?: number[] };

/** What the counting side reported, and CPU time in ms by side (`server` among them) while it ran. */
export type Report = { result: Record<string, unknown>; cpu_ms: Record<string, number> };

export type Limits = Pick<RoleOptions, 'messages' | 'rate' | 'concurrency'>;

/** A round takes seconds; one that takes so long hangs. */
const roundMs = 120_000;

/** `ready` is called when all sides are, before any begins. */
export const race = async (
  server: Server,
  sides: Side[],
  limits: Limits,
  ready?: () => Promise<void>,
): Promise<Report> => {
  await server.flush();
  const running = sides.map((side) => {
    const given: RoleOptions = { ...limits, redisUrl: server.url, prefix: '{bench}', stations: side.stations ?? [] };
    const child = fork(fileURLToPath(new URL('./player.ts', import.meta.url)), [side.role, JSON.stringify(given)]);
    const ended = once(child, 'exit');
    return { side, child, ready: once(child, 'message'), report: reportOf(child, side.role), ended };
  });
  const late = setTimeout(() => {
    for (const { child } of running) child.kill('SIGKILL');
  }, roundMs);
  try {
    const reports = Promise.all(running.map(({ report }) => report));
    await Promise.race([Promise.all(running.map(({ ready }) => ready)), reports]);
    await ready?.();
    const serverBegan = await server.cpuMs();
    for (const { child } of running) child.send('go');
    const result = await Promise.race([...running.filter(({ side }) => side.counts).map(({ report }) => report)]);
    const cpu: Record<string, number> = { server: (await server.cpuMs()) - serverBegan };
    // One that has reported may be gone already.
    for (const { child } of running) if (child.connected) child.send('end', () => undefined);
    for (const [at, report] of (await reports).entries()) {
      const name = running[at]?.side.role.replace(/^\w+-/, '') ?? '';
      cpu[name] = (cpu[name] ?? 0) + Number(report.cpu_ms ?? 0);
    }
    // The next round has the machine for itself.
    await Promise.all(running.map(({ ended }) => ended));
    return { result, cpu_ms: cpu };
  } finally {
    clearTimeout(late);
    for (const { child } of running) child.kill('SIGKILL');
  }
};

/** The last message that a side sends is its report. */
const reportOf = (child: ChildProcess, role: string): Promise<Record<string, unknown>> =>
  new Promise((resolve, reject) => {
    child.on('message', (message) => {
      if (typeof message === 'object' && message !== null) resolve(message as Record<string, unknown>);
    });
    child.once('exit', (code, signal) =>
      reject(new Error(`the side ${role} ended with ${signal ?? code}, without a report`)),
    );
  });
