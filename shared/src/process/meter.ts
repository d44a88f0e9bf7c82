/**
 * What trees of processes use, and the limits that end them.
 *
 * All trees of a process are measured in one look, twice a second: one read a process of the machine, and its
 * environment once in its life. A tree is what descends from its first process, or carries its entry (`marked.mjs`).
 * What lived and ended between two looks counts by its processor time alone, and only if somebody waited for it. Linux
 * only: elsewhere nothing is measured.
 */
import { readdirSync, readFileSync } from 'node:fs';

/** What a tree may use, all of its processes together; what is left out is not limited. */
export type Limits = {
  cpuMs?: number | undefined;
  /** Memory of its own: neither files nor programs that others read too. */
  memoryBytes?: number | undefined;
  processes?: number | undefined;
  /** The size of any one file that it writes. */
  fileBytes?: number | undefined;
};
export type LimitName = 'cpu' | 'memory' | 'processes' | 'file';

type Watched = {
  /** The first process; it belongs to the tree unless it is `spared`. */
  root: number;
  spared: boolean;
  entry: string;
  limits: Limits;
  over(limit: LimitName): void;
};

const everyMs = 500;
const watched = new Set<Watched>();
let timer: NodeJS.Timeout | undefined;

/** Calls `over` once, when a tree uses more than it may. The function that is returned ends the watch. */
export const meter = (one: Watched): (() => void) => {
  const { cpuMs, memoryBytes, processes } = one.limits;
  if (process.platform !== 'linux' || !(cpuMs || memoryBytes || processes)) return () => {};
  watched.add(one);
  timer ??= setInterval(lookAtAll, everyMs).unref();
  return () => {
    watched.delete(one);
    if (watched.size > 0) return;
    clearInterval(timer);
    timer = undefined;
    runs.clear();
  };
};

type Row = { pid: number; parent: number; session: number; cpuMs: number; run: string | null };

const lookAtAll = (): void => {
  const rows = readRows();
  const children = Map.groupBy(rows.values(), ({ parent }) => parent);
  for (const one of watched) {
    const limit = limitOf(one, membersOf(one, rows, children));
    if (limit === null) continue;
    watched.delete(one);
    one.over(limit);
  }
};

const membersOf = ({ root, spared, entry }: Watched, rows: Map<number, Row>, children: Map<number, Row[]>): Row[] => {
  const members = new Map<number, Row>();
  const add = (row: Row): void => {
    if (members.has(row.pid)) return;
    members.set(row.pid, row);
    for (const child of children.get(row.pid) ?? []) add(child);
  };
  for (const row of rows.values()) if (row.pid === root || row.session === root || row.run === entry) add(row);
  if (spared) members.delete(root);
  return [...members.values()];
};

const limitOf = ({ limits }: Watched, members: readonly Row[]): LimitName | null => {
  const { cpuMs, memoryBytes, processes } = limits;
  if (processes && members.length > processes) return 'processes';
  if (cpuMs && sumOf(members.map((row) => row.cpuMs)) > cpuMs) return 'cpu';
  return memoryBytes && sumOf(members.map(({ pid }) => memoryOf(pid))) > memoryBytes ? 'memory' : null;
};

const sumOf = (numbers: readonly number[]): number => numbers.reduce((sum, one) => sum + one, 0);

/** Linux counts processor time in hundredths of a second wherever it shows it to programs. */
const tickMs = 10;

/** https://man7.org/linux/man-pages/man5/proc_pid_stat.5.html: time of children counts once they are waited for. */
const readRows = (): Map<number, Row> => {
  const rows = new Map<number, Row>();
  const known = new Map<string, string | null>();
  for (const name of readdirSync('/proc')) {
    if (!/^\d/.test(name)) continue;
    const stat = readOrEmpty(`/proc/${name}/stat`);
    const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
    if (fields.length < 20 || 'ZXx'.includes(fields[0] ?? '')) continue;
    const cpuMs = tickMs * sumOf(fields.slice(11, 15).map(Number));
    const pid = Number(name);
    const life = `${name} ${fields[19]}`;
    const run = runs.has(life) ? runs.get(life) : readRun(pid);
    if (run !== undefined) known.set(life, run);
    rows.set(pid, { pid, parent: Number(fields[1]), session: Number(fields[3]), cpuMs, run: run ?? null });
  }
  runs = known;
  return rows;
};

/** The entry of each process, by its number and its start: read once, since what it begins with says whose it is. */
let runs = new Map<string, string | null>();

/** Undefined: one that is just becoming another program shows no environment, and is asked again. */
const readRun = (pid: number): string | null | undefined => {
  const text = readOrEmpty(`/proc/${pid}/environ`, '?');
  if (text === '') return undefined;
  return /(?:^|\0)(NEXUS_RUN=[^\0]*)/.exec(text)?.[1] ?? null;
};

const memoryOf = (pid: number): number => {
  const status = readOrEmpty(`/proc/${pid}/status`);
  const kilobytes = [...status.matchAll(/^(?:RssAnon|VmSwap):\s+(\d+) kB$/gm)].map(([, number]) => Number(number));
  return 1024 * sumOf(kilobytes);
};

const readOrEmpty = (path: string, otherwise = ''): string => {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return otherwise;
  }
};
