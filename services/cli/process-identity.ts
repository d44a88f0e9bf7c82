/** Tells a process from a later one that got the same number: what `nexus down` may end and what not. */
import { spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';

/** When a process was started, as the system tells it, unique together with its number; null if there is none. */
export const identityOf = (pid: number): string | null => (process.platform === 'linux' ? fromProc(pid) : fromPs(pid));

export const isSame = (pid: number, identity: string): boolean => identityOf(pid) === identity;

/** https://man7.org/linux/man-pages/man5/proc_pid_stat.5.html: field 22 counts ticks since this boot. */
const fromProc = (pid: number): string | null => {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
    const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
    const [state = 'X', started = ''] = [fields[0], fields[19]];
    if ('ZXx'.includes(state)) return null;
    return `${readFileSync('/proc/sys/kernel/random/boot_id', 'utf8').trim()}/${started}`;
  } catch {
    return null;
  }
};

const fromPs = (pid: number): string | null => {
  const { stdout, status } = spawnSync('ps', ['-o', 'stat=,lstart=', '-p', String(pid)], { encoding: 'utf8' });
  const [state = 'Z', ...started] = (stdout ?? '').trim().split(/\s+/);
  return status !== 0 || state.startsWith('Z') ? null : started.join(' ');
};
