/** What git says of a task, by plain git commands: hubs are read as anybody could read them. */
import { execFileSync } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';

export type Hub = {
  base: string;
  integration: string;
  /** Subtask → the commit of its marker. */
  markers: Map<string, string>;
  /** `<subtask>/<attempt>` → the commit that the gate tested. */
  tested: Map<string, string>;
  /** First parents of integration, the newest first, without the base. */
  merges: string[];
};

export const git = (folder: string, ...words: string[]): string =>
  execFileSync('git', ['-c', 'safe.directory=*', '-C', folder, ...words], {
    encoding: 'utf8',
    stdio: ['ignore', 'pipe', 'pipe'],
    maxBuffer: 64e6,
  }).trim();

/** The text of a git command, or null where it fails. */
export const gitOrNull = (folder: string, ...words: string[]): string | null => {
  try {
    return git(folder, ...words);
  } catch {
    return null;
  }
};

/** Null if the task has no hub. */
export const readHub = (home: string, task: string): Hub | null => {
  const folder = hubFolder(home, task);
  if (!existsSync(join(folder, 'nexus.json'))) return null;
  const { baseCommit: base } = JSON.parse(readFileSync(join(folder, 'nexus.json'), 'utf8')) as { baseCommit: string };
  const refs = new Map(
    git(folder, 'for-each-ref', '--format=%(refname) %(objectname)', `refs/nexus/${task}/`)
      .split('\n')
      .map((line) => line.split(' ') as [string, string]),
  );
  const under = (part: string): Map<string, string> =>
    new Map(
      [...refs].flatMap(([ref, commit]): [string, string][] => {
        const start = `refs/nexus/${task}/${part}/`;
        return ref.startsWith(start) ? [[ref.slice(start.length), commit]] : [];
      }),
    );
  const integration = refs.get(`refs/nexus/${task}/integration`) ?? '';
  const line = gitOrNull(folder, 'rev-list', '--first-parent', `${base}..${integration}`) ?? '';
  return {
    base,
    integration,
    markers: under('merged'),
    tested: under('tested'),
    merges: line.split('\n').filter(Boolean),
  };
};

export const hubFolder = (home: string, task: string): string => join(home, 'hubs', `${task}.git`);

type Verdict = { tested_commit: string; verdict: string; checks: { state: string; exit_code: number | null }[] };

/** Every verdict that the gate left as evidence for a subtask, whatever attempt. */
export const verdictsOf = (home: string, task: string, subtask: string): Verdict[] => {
  const hub = hubFolder(home, task);
  const start = `refs/nexus/${task}/evidence/gate-${subtask}-`;
  const refs = git(hub, 'for-each-ref', '--format=%(refname)', `refs/nexus/${task}/evidence/`).split('\n');
  return refs
    .filter((ref) => ref.startsWith(start) && /^\d+$/.test(ref.slice(start.length)))
    .flatMap((ref) =>
      git(hub, 'ls-tree', '-r', '--name-only', ref)
        .split('\n')
        .filter((path) => path.endsWith('/verdict.json'))
        .map((path) => JSON.parse(git(hub, 'show', `${ref}:${path}`)) as Verdict),
    );
};

/** Integration is a line of markers, each once, and nothing else; every one of them was tested and passed. */
export const checkHub = (home: string, task: string, hub: Hub): string[] => {
  const of = `task ${task}:`;
  const found: string[] = [];
  const broken = gitOrNull(hubFolder(home, task), 'fsck', '--connectivity-only', '--no-dangling');
  if (broken === null) found.push(`${of} its hub is damaged`);
  const marked = [...hub.markers.values()];
  for (const commit of hub.merges) {
    const count = marked.filter((one) => one === commit).length;
    if (count !== 1) found.push(`${of} ${commit} of integration has ${count} markers`);
  }
  for (const [subtask, commit] of hub.markers) {
    if (!hub.merges.includes(commit)) found.push(`${of} ${subtask} is marked as merged, but not in integration`);
    if (![...hub.tested].some(([name, tested]) => name.startsWith(`${subtask}/`) && tested === commit)) {
      found.push(`${of} ${subtask} was merged as ${commit}, which is no tested commit of it`);
    }
    const verdicts = verdictsOf(home, task, subtask).filter(({ tested_commit }) => tested_commit === commit);
    const gated = verdicts.some(
      ({ verdict, checks }) =>
        verdict === 'passed' && checks.some(({ state, exit_code }) => state === 'passed' && exit_code === 0),
    );
    if (!gated) found.push(`${of} ${subtask} was merged as ${commit} without a gate that passed`);
  }
  return found;
};
