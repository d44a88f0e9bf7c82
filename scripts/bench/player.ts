/**
 * One side of a benchmark as a process of its own: `node player.ts <role> <json>`. Started by `race.ts`, which
 * sends "go" once all sides are ready, and collects the report that each sends at the end.
 *
 * A role is a function from its options to a report. The three ways that are compared stand in product.ts and
 * product-chain.ts, raw.ts and raw-chain.ts, and bullmq.ts; what is measured of the product alone stands in
 * settle-role.ts and board-role.ts. This file only brings them to life.
 */
export type RoleOptions = {
  redisUrl: string;
  prefix: string;
  messages: number;
  /** Messages a second, open loop; 0: as fast as they go. */
  rate: number;
  /** Which stations of a chain this process is, 0-based; the whole chain has five. */
  stations: number[];
  /** Handlers at a time; in a chain also how many are kept under way. */
  concurrency: number;
};

/** Prepares, says that it is ready, waits for the start, runs, reports. */
export type Role = (options: RoleOptions, started: () => Promise<void>) => Promise<Record<string, unknown>>;

/** Imported only where they are played: a side must not carry the libraries of another. */
const roles: Record<string, () => Promise<Role>> = {
  'product-send': async () => (await import('./product.ts')).send,
  'product-receive': async () => (await import('./product.ts')).receive,
  'product-chain': async () => (await import('./product-chain.ts')).chain,
  'product-settle': async () => (await import('./settle-role.ts')).settle,
  'product-board': async () => (await import('./board-role.ts')).board,
  'raw-send': async () => (await import('./raw.ts')).send,
  'raw-receive': async () => (await import('./raw.ts')).receive,
  'raw-chain': async () => (await import('./raw-chain.ts')).chain,
  'bullmq-send': async () => (await import('./bullmq.ts')).send,
  'bullmq-receive': async () => (await import('./bullmq.ts')).receive,
  'bullmq-chain': async () => (await import('./bullmq.ts')).chain,
};

if (import.meta.main) {
  process.once('disconnect', () => process.exit(1));
  const [name = '', json = '{}'] = process.argv.slice(2);
  const open = roles[name];
  if (!open) throw new Error(`there is no role ${name}: ${Object.keys(roles).join(', ')}`);
  const role = await open();
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
