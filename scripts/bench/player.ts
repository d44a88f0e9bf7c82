/**
 * One side of a benchmark as a process of its own: `node player.ts <role> <json>`. Started by `race.ts`, which
 * sends "go" once both sides are ready and collects the one line of JSON that each prints at the end.
 *
 * A role is a function from its options to a report. The three ways that are compared stand in product.ts, raw.ts
 * and bullmq.ts; this file only brings them to life.
 */
import * as bullmq from './bullmq.ts';
import * as product from './product.ts';
import * as raw from './raw.ts';

export type RoleOptions = {
  redisUrl: string;
  prefix: string;
  messages: number;
  /** Messages a second, open loop; 0: as fast as they go. */
  rate: number;
  /** Which stations of a chain this process is, 0-based; the whole chain has five. */
  stations: number[];
  concurrency: number;
};

/** Prepares, says that it is ready, waits for the start, runs, reports. */
export type Role = (options: RoleOptions, started: () => Promise<void>) => Promise<Record<string, unknown>>;

const roles: Record<string, Role> = {
  'product-send': product.send,
  'product-receive': product.receive,
  'product-chain': product.chain,
  'product-feed': product.feed,
  'raw-send': raw.send,
  'raw-receive': raw.receive,
  'raw-chain': raw.chain,
  'raw-feed': raw.feed,
  'bullmq-send': bullmq.send,
  'bullmq-receive': bullmq.receive,
  'bullmq-chain': bullmq.chain,
  'bullmq-feed': bullmq.feed,
};

if (import.meta.main) {
  const [name = '', json = '{}'] = process.argv.slice(2);
  const role = roles[name];
  if (!role) throw new Error(`there is no role ${name}: ${Object.keys(roles).join(', ')}`);
  const cpu = { begin: process.cpuUsage() };
  const started = (): Promise<void> =>
    new Promise((resolve) => {
      process.once('message', () => {
        cpu.begin = process.cpuUsage();
        resolve();
      });
      process.send?.('ready');
    });
  const report = await role(JSON.parse(json) as RoleOptions, started);
  const used = process.cpuUsage(cpu.begin);
  process.send?.({ ...report, cpu_ms: (used.user + used.system) / 1000 }, () => process.exit(0));
}
