/**
 * Seats: NEXUS_AGENTS_MAX, kept exactly, for all workers of a home on one machine together.
 *
 *   free ──take──▶ taken ──release──▶ free
 *                    └── its worker is gone, and so is every process of its agent ──▶ free
 *
 * A seat is an empty file that names who took it. Seats are counted and taken under one lock of the machine, so two
 * workers that look at the same moment cannot both see the last one free. Admission counts them too, without the lock,
 * so that a worker asks for work only where a seat is likely to be had.
 */
import { mkdirSync, readdirSync, readFileSync, readlinkSync, rmSync, writeFileSync } from 'node:fs';
import { hostname } from 'node:os';
import { join, resolve } from 'node:path';
import { lockOnMachine } from '@nexus/shared/project';

export type Seats = {
  /** Takes a seat for a claim; null: all are taken. */
  take(token: string): Promise<(() => void) | null>;
  /** The claims of other workers that have a seat, or whose agents still run. */
  elsewhere(): Set<string>;
};

type Options = {
  home: string;
  /** Of the fabric: fleets that share a home share no limit. */
  prefix: string;
  seatsMax: number;
  /** The claims whose agents run on this machine: a seat is not free as long as its agent lives. */
  tokensAlive(): Iterable<string>;
};

/** Counting takes milliseconds; who cannot count takes no seat. */
const lockWaitMs = 10_000;

export const openSeats = ({ home, prefix, seatsMax, tokensAlive }: Options): Seats => {
  const folder = join(resolve(home), 'agents', `${prefix.replaceAll(/[^\w-]+/g, '')}-${machine()}`);
  const mine = new Set<string>();
  const list = (): Seat[] => {
    const alive = new Set(tokensAlive());
    const seats = seatsIn(folder).filter((seat) => alive.has(seat.token) || isAlive(seat));
    const unseated = [...alive].filter((token) => !seats.some((seat) => seat.token === token));
    return [...seats, ...unseated.map((token) => ({ token, pid: 0, started: '', file: null }))];
  };
  return {
    take: async (token) => {
      const unlock = await lockOnMachine(folder, { waitMs: lockWaitMs });
      if (unlock === null) return null;
      try {
        const taken = list().filter((seat) => seat.token !== token);
        if (taken.length >= seatsMax) return null;
        removeOthers(folder, taken);
        const file = join(folder, nameOf({ token, pid: process.pid, started: startOf(process.pid) }));
        mkdirSync(folder, { recursive: true });
        writeFileSync(file, '');
        mine.add(token);
        return () => {
          mine.delete(token);
          rmSync(file, { force: true });
        };
      } finally {
        unlock();
      }
    },
    elsewhere: () => new Set(list().flatMap(({ token }) => (mine.has(token) ? [] : [token]))),
  };
};

type Seat = { token: string; pid: number; started: string; file: string | null };

const nameOf = ({ token, pid, started }: Omit<Seat, 'file'>): string => `${pid}_${started}_${token}`;

const seatsIn = (folder: string): Seat[] =>
  names(folder).flatMap((file) => {
    const [, pid, started = '', token = ''] = /^(\d+)_(\d*)_(.+)$/.exec(file) ?? [];
    return pid === undefined ? [] : [{ token, pid: Number(pid), started, file }];
  });

const names = (folder: string): string[] => {
  try {
    return readdirSync(folder);
  } catch {
    return [];
  }
};

/** What is left of workers that are gone, with their agents. */
const removeOthers = (folder: string, taken: readonly Seat[]): void => {
  const stay = new Set(taken.map(({ file }) => file));
  for (const { file } of seatsIn(folder)) if (!stay.has(file)) rmSync(join(folder, file ?? ''), { force: true });
};

/** A number is given to another process in time; when that began tells the two apart. */
const isAlive = ({ pid, started }: Seat): boolean => {
  try {
    process.kill(pid, 0);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EPERM') return false;
  }
  return started === startOf(pid);
};

/** Field 22 of its stat (https://man7.org/linux/man-pages/man5/proc_pid_stat.5.html); '' where there is no /proc. */
const startOf = (pid: number): string => {
  try {
    const text = readFileSync(`/proc/${pid}/stat`, 'utf8');
    return text.slice(text.lastIndexOf(')') + 2).split(' ')[19] ?? '';
  } catch {
    return '';
  }
};

/** Containers that share a home number their processes each for itself, and see only their own. */
const machine = (): string => {
  try {
    return /\d+/.exec(readlinkSync('/proc/self/ns/pid'))?.[0] ?? hostname();
  } catch {
    return hostname();
  }
};
