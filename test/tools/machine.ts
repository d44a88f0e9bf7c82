/** What this machine can do, for tests that need it; what it cannot is left out, and the closing lines say why. */
import { execFileSync, spawnSync } from 'node:child_process';
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'vitest';

const isRoot = process.getuid?.() === 0;

/** Why no file system can be mounted here; null if one can. Root alone is not enough, as in most containers. */
export const noMount: string | null = !isRoot
  ? 'only root may mount'
  : spawnSync('unshare', ['-m', 'mount', '-t', 'tmpfs', 'none', '/mnt']).status === 0
    ? null
    : 'this machine lets nobody mount';

/** Locks a folder against whoever runs this, or unlocks it, with all that is in it if so asked. */
export const lock = (folder: string, on: boolean, { whole = false } = {}): void => {
  // Modes do not hold root back.
  const how = isRoot ? ['chattr', on ? '+i' : '-i'] : ['chmod', on ? 'a-w' : 'u+w'];
  const [program = '', mode = ''] = how;
  execFileSync(program, [...(whole ? ['-R'] : []), mode, folder], { stdio: 'pipe' });
};

/** Tried on a folder of its own: with chattr there, root may still lack the right, as in most containers. */
const whyNoLock = (): string | null => {
  const folder = mkdtempSync(join(tmpdir(), 'nexus-lock-'));
  try {
    lock(folder, true);
    lock(folder, false);
    return null;
  } catch (thrown) {
    const isMissing = thrown instanceof Error && 'code' in thrown && thrown.code === 'ENOENT';
    return isMissing
      ? 'root needs chattr for it, which is not on the path'
      : 'this machine lets not even root lock one';
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
};

/** Why no folder can be locked against its owner here; null if one can. */
export const noLock: string | null = whyNoLock();

/** Stands in the closing lines for tests that do not run here. */
export const leaveOut = (what: string, why: string | null): void => {
  if (why !== null) test.skipIf(true)(`${what} (left out: ${why})`, () => undefined);
};

export type Process = {
  pid: number;
  /** As in ps; Z has ended, and was not yet collected. */
  state: string;
  args: string;
};

/** Every process of this machine, without `ps` where the process table can be read. */
export const listProcesses = (): Process[] => {
  if (process.platform !== 'linux') {
    const out = execFileSync('ps', ['-A', '-ww', '-o', 'pid=,stat=,args='], { encoding: 'utf8' });
    return out.split('\n').flatMap((line) => {
      const [, pid = '', state = '', args = ''] = /^\s*(\d+)\s+(\S+)\s+(.*)$/.exec(line) ?? [];
      return pid === '' ? [] : [{ pid: Number(pid), state, args }];
    });
  }
  return readdirSync('/proc').flatMap((pid): Process[] => {
    if (!/^\d+$/.test(pid)) return [];
    try {
      const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
      const args = readFileSync(`/proc/${pid}/cmdline`, 'utf8').split('\0').join(' ').trim();
      return [{ pid: Number(pid), state: stat.slice(stat.lastIndexOf(')') + 2)[0] ?? '', args }];
    } catch {
      return [];
    }
  });
};
