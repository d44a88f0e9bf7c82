/**
 * What `nexus up` started, in NEXUS_HOME/fleet.json: so that `down`, `status` and `run` find it again.
 *
 * A process is named by its number and its start time together; nothing else is ever ended by it.
 */
import { mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { z } from 'zod';
import { isSame } from './process-identity.ts';

const fleetProcess = z.object({
  /** The service, with a number where there are several: `worker-agent-2`; or `redis`. */
  name: z.string(),
  pid: z.int().positive(),
  identity: z.string(),
  port: z.int(),
  log: z.string(),
});
const fleetState = z.object({
  version: z.literal(1),
  started_at: z.string(),
  url: z.string(),
  prefix: z.string(),
  /** How it was started, as far as its processes do not tell. A fleet of an older version has none. */
  started_with: z.object({ agent_command: z.string().nullable(), rehearsal: z.boolean() }).optional(),
  processes: z.array(fleetProcess),
});
export type FleetProcess = z.infer<typeof fleetProcess>;
export type FleetState = z.infer<typeof fleetState>;

const fileIn = (home: string): string => join(home, 'fleet.json');

/** What was started in this home; null if nothing was, or if nobody can read what was written. */
export const readFleet = (home: string): FleetState | null => {
  try {
    return fleetState.parse(JSON.parse(readFileSync(fileIn(home), 'utf8')));
  } catch {
    return null;
  }
};

/** Writes the state whole, readable for its owner only. */
export const writeFleet = (home: string, state: FleetState): void => {
  const draft = `${fileIn(home)}.${process.pid}`;
  mkdirSync(dirname(draft), { recursive: true });
  writeFileSync(draft, `${JSON.stringify(state, null, 2)}\n`, { mode: 0o600 });
  renameSync(draft, fileIn(home));
};

export const forgetFleet = (home: string): void => rmSync(fileIn(home), { force: true });

export const lives = ({ pid, identity }: FleetProcess): boolean => isSame(pid, identity);
