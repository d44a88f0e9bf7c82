/**
 * Logs and meters: the one place that knows pino and prom-client.
 *
 * Log lines are JSON, one a failure, secrets redacted here and nowhere else. Metrics are named
 * `nexus_<noun>_<unit>`; labels come from closed sets, never ids.
 */
import { randomFillSync } from 'node:crypto';
import pino from 'pino';
import { Counter, Gauge, Histogram, Registry } from 'prom-client';

import { openRedactor, type Redactor } from './redact.ts';

export { openRedactor, type Redactor };

export type Log = pino.Logger;

const secretKeys = ['token', 'password', 'authorization', 'redisUrl', 'secret', 'api_key'];

/**
 * A logger that writes JSON lines to standard error, so that standard output stays for results. `secrets` are values
 * that no line may hold, beside all that has the shape of a key.
 */
export const openLog = (
  service: string,
  level: string,
  fields: Record<string, unknown> = {},
  secrets: readonly string[] = [],
): Log =>
  pino(
    {
      level,
      base: { service, ...fields },
      timestamp: pino.stdTimeFunctions.isoTime,
      formatters: { level: (label) => ({ level: label }) },
      hooks: { streamWrite: redactedLine(openRedactor(secrets)) },
      redact: { paths: secretKeys.flatMap((key) => [key, `*.${key}`]), censor: '(redacted)' },
    },
    openDestination(),
  );

/** A line stays JSON, whatever is taken out of it. */
const redactedLine =
  (redactor: Redactor) =>
  (line: string): string =>
    redactor.text(line) === line ? line : `${JSON.stringify(redactor.value(JSON.parse(line)))}\n`;

/** A line that cannot be written, on a full disk, is lost: it must not end the process that it tells of. */
const openDestination = () =>
  pino.destination({ dest: 2, sync: true, maxLength: 1_000_000 }).on('error', () => undefined);

/** A logger that says nothing: for tests of things that want one. */
export const silentLog = (): Log => pino({ level: 'silent' });

/** The meters of one process, and the page that Prometheus reads. */
export type Meters = {
  counter(name: string, help: string, labels?: string[]): Counter;
  gauge(name: string, help: string, labels?: string[]): Gauge;
  histogram(name: string, help: string, buckets: number[], labels?: string[]): Histogram;
  /** The text of `/metrics`. */
  page(): Promise<string>;
};

/** Makes the meters; asking twice for one name gives the same meter. */
export const openMeters = (service: string): Meters => {
  const registry = new Registry();
  registry.setDefaultLabels({ service });
  const known = <M>(name: string, make: () => M): M => (registry.getSingleMetric(name) as M | undefined) ?? make();
  const registers = [registry];
  return {
    counter: (name, help, labelNames = []) => known(name, () => new Counter({ name, help, labelNames, registers })),
    gauge: (name, help, labelNames = []) => known(name, () => new Gauge({ name, help, labelNames, registers })),
    histogram: (name, help, buckets, labelNames = []) =>
      known(name, () => new Histogram({ name, help, buckets, labelNames, registers })),
    page: () => registry.metrics(),
  };
};

/** A new W3C trace context (https://www.w3.org/TR/trace-context/), sampled. */
export const newTraceparent = (): string => `00-${randomHex(32)}-${randomHex(16)}-01`;

/** The same trace with a new span id: what a follow-up message carries. */
export const childTraceparent = (parent: string): string => {
  const [version, trace] = parent.split('-');
  return version && trace ? `${version}-${trace}-${randomHex(16)}-01` : newTraceparent();
};

/** Random hex digits from a pool: to ask the system each time costs a fifth of a publication. */
export const randomHex = (digits: number): string => {
  if (poolAt + digits > pool.length) {
    pool = randomFillSync(Buffer.allocUnsafe(4096)).toString('hex');
    poolAt = 0;
  }
  poolAt += digits;
  return pool.slice(poolAt - digits, poolAt);
};
let pool = '';
let poolAt = 0;
