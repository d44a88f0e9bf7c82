/** What a fleet that has ended may not leave on its machine: processes, clones, half-made hubs. */
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';

export type Found = { pid: number; command: string };

/** Processes whose environment names a mark of this fabric: agents, checks, and whatever they started. */
export const markedProcesses = (prefix: string): Found[] => processesWith(`NEXUS_MARK=${prefix}`);

/** Processes of a home: services, with all that inherited their environment; never this one. */
export const processesOf = (home: string): Found[] => processesWith(`NEXUS_HOME=${home}\0`);

const processesWith = (entry: string): Found[] =>
  readdirSync('/proc').flatMap((name) => {
    if (!/^\d+$/.test(name) || Number(name) === process.pid) return [];
    try {
      if (!`\0${readFileSync(`/proc/${name}/environ`, 'utf8')}`.includes(`\0${entry}`)) return [];
      const command = readFileSync(`/proc/${name}/cmdline`, 'utf8').replaceAll('\0', ' ').trim();
      return [{ pid: Number(name), command }];
    } catch {
      // It ended between the two looks, or belongs to somebody else.
      return [];
    }
  });

/** What tells where a process came from: its age, its parent, and its mark. proc_pid_stat(5): fields 4 and 22. */
export const originOf = ({ pid, command }: Found): string => {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
    const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
    const bootedFor = Number(readFileSync('/proc/uptime', 'utf8').split(' ')[0]);
    const age = (bootedFor - Number(fields[19]) / 100).toFixed(2);
    const mark = /(?:^|\0)NEXUS_MARK=([^\0]*)/.exec(readFileSync(`/proc/${pid}/environ`, 'utf8'))?.[1] ?? '';
    return `${pid} of ${fields[1]}, state ${fields[0]}, ${age} s old, mark ${mark}: ${command}`;
  } catch {
    return `${pid}, which has ended since: ${command}`;
  }
};

/** Where clones are made, and hubs. `ballast` is ours. */
const clones = (home: string): string[] => {
  const inside = (folder: string): string[] =>
    existsSync(folder) ? readdirSync(folder).filter((name) => !name.startsWith('.') && name !== 'package.json') : [];
  const workspaces = inside(join(home, 'workspaces')).flatMap((task) => {
    const held = inside(join(home, 'workspaces', task));
    return held.length === 0 ? [`workspaces/${task} (empty)`] : held.map((name) => `workspaces/${task}/${name}`);
  });
  return [...workspaces, ...inside(join(home, 'gates')).map((name) => `gates/${name}`)];
};

const halfMade = (home: string): string[] => {
  const hubs = join(home, 'hubs');
  const names = existsSync(hubs) ? readdirSync(hubs) : [];
  return names.filter((name) => /\.(making|leaving)-/.test(name)).map((name) => `hubs/${name}`);
};

/** Violations on this machine, once every service has ended. */
export const checkMachine = ({ prefix, home }: { prefix: string; home: string }): string[] => [
  ...markedProcesses(prefix).map(({ pid, command }) => `orphan process ${pid}: ${command.slice(0, 120)}`),
  ...processesOf(home).map(({ pid, command }) => `process ${pid} outlived its fleet: ${command.slice(0, 120)}`),
  ...clones(home).map((name) => `leftover clone ${name}`),
  ...halfMade(home).map((name) => `leftover half-made hub ${name}`),
];
