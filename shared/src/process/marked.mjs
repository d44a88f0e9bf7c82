/**
 * Finds and ends process trees. The types are in `marked.d.mts`.
 *
 * A tree is: every process whose environment holds an entry such as `NEXUS_MARK=<mark>`, the members of a session
 * that such a process (or the tree's known root) leads, and all descendants of these. The environment is what
 * `setsid`, `nohup` and the death of a parent cannot take away; sessions and descent find programs that write over
 * their environment. With `folder`, a folder that is nobody else's, also what works in it without a terminal: that
 * finds what has emptied its environment, left its session and lost its parent, unless it has left the folder too.
 * Nothing else is signalled, and never we ourselves or what started us.
 *
 * Plain JavaScript that imports nothing but Node, because every leash imports it: stripping types would cost each of
 * them 30 ms and 27 MB.
 */
import { spawnSync } from 'node:child_process';
import { readdirSync, readFileSync, readlinkSync, realpathSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';

/** After KILL only a process stuck in the kernel stays; waiting longer for it helps nobody. */
const killWaitMs = 5000;

/** A program without any environment looks the same as one that is just starting; after so many looks it is one. */
const emptyLooksMax = 5;

export const listMarked = () =>
  readProcesses().flatMap(({ pid, entries }) => {
    const [mark, home] = ['NEXUS_MARK=', 'NEXUS_MARK_HOME='].map((name) => valueIn(entries, name));
    return mark === null || pid === process.pid ? [] : [{ pid, mark, home }];
  });

const valueIn = (entries, name) => {
  for (const entry of entries) if (entry.startsWith(name)) return entry.slice(name.length);
  return null;
};

/** The entries of an environment that are ours. */
const entriesOf = (environment) =>
  new Set(environment.includes('NEXUS_') ? environment.split('\0').filter((entry) => entry.startsWith('NEXUS_')) : []);

export const endMarked = async (mark, options = {}) => (await sweepMarked(mark, options)).survivors;

export const sweepMarked = (mark, options = {}) => {
  const home = options.home === undefined ? undefined : `NEXUS_MARK_HOME=${options.home}`;
  const tree = { entry: `NEXUS_MARK=${mark}`, also: home, folder: options.folder };
  return endTree(tree, options.graceMs ?? 2000);
};

/**
 * Children born while we look are found by the next look. A process that is just becoming another program shows no
 * environment for a moment: as long as there is one, finding nothing proves nothing, and we look again.
 */
export const endTree = async (given, graceMs) => {
  const tree = { ...given, folder: given.folder && realPath(given.folder) };
  const begin = performance.now();
  const told = new Set();
  const root = { pid: tree.root, start: tree.rootEnded ? 'ended' : undefined, spared: tree.spareRoot === true };
  for (let waitMs = 5, emptyLooks = 0; ; waitMs = Math.min(waitMs * 2, 100)) {
    const { pids, unsure } = findTree(tree, root, await look());
    const elapsedMs = performance.now() - begin;
    emptyLooks = pids.length === 0 ? emptyLooks + 1 : 0;
    const isGone = pids.length === 0 && (!unsure || emptyLooks > emptyLooksMax);
    if (isGone || elapsedMs > graceMs + killWaitMs) {
      return { ended: told.size - pids.filter((pid) => told.has(pid)).length, survivors: pids };
    }
    const kill = elapsedMs >= graceMs;
    for (const pid of pids) {
      if (kill) signalOne(pid, 'SIGKILL');
      else if (!told.has(pid)) signalOne(pid, 'SIGTERM');
      told.add(pid);
    }
    await sleep(kill || pids.length === 0 ? 10 : Math.min(waitMs, Math.max(1, graceMs - elapsedMs)));
  }
};

/** The pids of a tree as it is now. Forgets the root when nothing of it is left, as its number may be given anew. */
const findTree = ({ entry, also = entry, folder }, root, rows) => {
  const spared = ourselvesAmong(rows);
  const isOurs = (row) => row.entries.has(entry) && row.entries.has(also);
  const ours = new Set(rows.filter(isOurs).map((row) => row.pid));
  if (root.pid !== undefined) {
    const row = rows.find(({ pid }) => pid === root.pid);
    if (root.start === undefined) root.start = row?.start ?? 'ended';
    if (row?.start === root.start) ours.add(root.pid);
    // A number is not given anew while a session bears it: what has it now leads a session of somebody else.
    else if (row !== undefined || !rows.some(({ session }) => session === root.pid)) root.pid = undefined;
  }
  if (root.spared && root.pid !== undefined) spared.add(root.pid);
  if (folder !== undefined) for (const pid of strayIn(folder, rows, spared)) ours.add(pid);
  for (let grown = true; grown; ) {
    grown = false;
    for (const row of rows) {
      if (ours.has(row.pid) || spared.has(row.pid)) continue;
      if (!ours.has(row.parent) && !ours.has(row.session) && row.session !== root.pid) continue;
      ours.add(row.pid);
      grown = true;
    }
  }
  const pids = rows.map((row) => row.pid).filter((pid) => ours.has(pid) && !spared.has(pid));
  return { pids, unsure: rows.some((row) => row.unsure) };
};

/** What works in a folder and says nothing of us: programs that we start, git among them, have our entries. */
const strayIn = (folder, rows, spared) =>
  rows
    .filter(({ pid, terminal, entries }) => terminal === 0 && entries.size === 0 && !spared.has(pid))
    .filter((row) => isWithin(folderOf(row), folder))
    .map(({ pid }) => pid);

const realPath = (folder) => {
  try {
    return realpathSync(folder);
  } catch {
    return folder;
  }
};

const isWithin = (path, folder) => path === folder || path.startsWith(`${folder}/`);

/** Asked once per look. Linux only; elsewhere nobody tells. */
const folderOf = (row) => {
  if (row.folder === undefined) {
    try {
      row.folder = readlinkSync(`/proc/${row.pid}/cwd`);
    } catch {
      row.folder = '';
    }
  }
  return row.folder;
};

/** Us, what started us, and what started that: never part of a tree, whatever their environment says. */
const ourselvesAmong = (rows) => {
  const parents = new Map(rows.map((row) => [row.pid, row.parent]));
  const ourselves = new Set([1]);
  for (let pid = process.pid; pid !== undefined && pid > 1 && !ourselves.has(pid); pid = parents.get(pid)) {
    ourselves.add(pid);
  }
  return ourselves;
};

const signalOne = (pid, signal) => {
  try {
    process.kill(pid, signal);
  } catch {
    // It ended by itself, or belongs to somebody else: the next look tells.
  }
};

let looking = null;

/**
 * Trees that are ended at the same time look at the machine together: reading all processes is what costs. The look
 * begins after this call, so it shows what was done before it.
 */
const look = () => {
  looking ??= new Promise((resolve) => {
    setImmediate(() => {
      looking = null;
      resolve(readProcesses());
    });
  });
  return looking;
};

const readProcesses = () => (process.platform === 'linux' ? readProc() : readPs());

/**
 * A list of processes is old when it is read: a parent may be gone by then, and its child not be in the list. So it is
 * listed again until nobody new appears; whoever starts after that was started by somebody whom we have seen.
 */
const readProc = () => {
  const seen = new Map();
  for (let rounds = 0; rounds < 20; rounds += 1) {
    const fresh = readdirSync('/proc').filter((name) => /^\d/.test(name) && !seen.has(name));
    if (fresh.length === 0) break;
    for (const name of fresh) seen.set(name, readProcess(Number(name)));
  }
  return [...seen.values()].filter((row) => row !== null);
};

/** PF_KTHREAD of include/linux/sched.h: a thread of the kernel, without any environment; half of what is in /proc. */
const kernelThread = 0x00200000;

/** https://man7.org/linux/man-pages/man5/proc_pid_stat.5.html; zombies are nobody any more. */
const readProcess = (pid) => {
  const stat = readOrEmpty(`/proc/${pid}/stat`);
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  if (fields.length < 20 || 'ZXx'.includes(fields[0]) || Number(fields[6]) & kernelThread) return null;
  const text = readOrEmpty(`/proc/${pid}/environ`, '?');
  const row = {
    pid,
    parent: Number(fields[1]),
    session: Number(fields[3]),
    terminal: Number(fields[4]),
    start: fields[19],
  };
  return { ...row, entries: entriesOf(text), unsure: text === '' };
};

/** A process that ended meanwhile, or another user's, cannot be read. */
const readOrEmpty = (path, otherwise = '') => {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return otherwise;
  }
};

/** Where there is no /proc: `ps -E` shows the environment of one's own processes (macOS); groups stand for sessions. */
const readPs = () => {
  const columns = 'pid=,ppid=,pgid=,stat=,lstart=,command=';
  const { stdout } = spawnSync('ps', ['-A', '-ww', '-E', '-o', columns], { encoding: 'utf8', maxBuffer: 64_000_000 });
  return (stdout ?? '').split('\n').flatMap((line) => {
    const match = /^\s*(\d+)\s+(\d+)\s+(\d+)\s+(\S+)\s+(\S+\s+\S+\s+\S+\s+\S+\s+\S+)\s(.*)$/.exec(line);
    if (!match || match[4].startsWith('Z')) return [];
    const entries = entriesOf(match[6].replaceAll(' ', '\0'));
    const [pid, parent, session] = match.slice(1, 4).map(Number);
    return [{ pid, parent, session, terminal: -1, start: match[5], entries, unsure: false }];
  });
};
