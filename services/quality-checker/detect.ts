/**
 * What a project declares about itself: how it is set up, and which checks it has. Nothing is guessed that the
 * project does not say.
 *
 *   set-up   the task's own commands, which may be none; else what its package manager wants (`@nexus/shared/project`)
 *   checks   those of the task, then those that the definitions in `checks/` find
 */
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { CheckRequest } from '@nexus/shared/messages/domain';
import { packageManagerOf, readManifest } from '@nexus/shared/project';
import { chainOf } from './chain.ts';
import type { CheckDefinition, PlannedCheck, Project } from './define-check.ts';

export type GatePlan = {
  setup: string[];
  checks: PlannedCheck[];
  /** What the command of each check runs, one after the other, by its name. */
  chains: Map<string, string[]>;
};

/** Reads what a checkout declares. `files` are its tracked files, `changed` those that the candidate touched. */
export const detect = async (options: {
  folder: string;
  files: string[];
  changed: string[];
  setup: readonly string[] | null;
  asked: readonly CheckRequest[];
  definitions: readonly CheckDefinition[];
}): Promise<GatePlan> => {
  const { folder, files, definitions, asked } = options;
  const read = (path: string) => readFile(join(folder, path), 'utf8').catch(() => '');
  const manifest = readManifest(await read('package.json'));
  const has = (name: string) => files.includes(name);
  const manager = await packageManagerOf(manifest, has, read);
  const changed = options.changed.filter(has);
  const project: Project = { folder, files, manifest, runner: manager.runner, asked, changed, read };
  const setup = options.setup === null ? manager.setup : [...options.setup];
  const checks = await planChecks(project, definitions);
  const chains = checks.map(({ name, command }) => [name, chainOf(command ?? '', manifest?.scripts ?? {})] as const);
  return { setup, checks, chains: new Map(chains) };
};

/** A check that runs the first script of these names that the manifest declares. */
export const script = (
  project: Project,
  name: string,
  scripts: readonly string[],
  reads: PlannedCheck['reads'],
): PlannedCheck[] => {
  const declared = scripts.find((one) => (project.manifest?.scripts[one] ?? '').trim() !== '');
  if (declared === undefined) return [];
  return [
    { name, command: declared === 'test' ? testCommand(project.runner) : `${project.runner} ${declared}`, reads },
  ];
};

/** `bun test` is bun's own runner, not the script. */
const testCommand = (runner: string): string =>
  runner === 'bun run' ? 'bun run test' : runner.replace(/run$/, 'test');

/** All commands, each once and each name once; what the task asks for wins over what the project declares. */
const planChecks = async (project: Project, definitions: readonly CheckDefinition[]): Promise<PlannedCheck[]> => {
  const planned: PlannedCheck[] = [];
  for (const definition of definitions) {
    const hasCommand = planned.some(({ command }) => command !== null);
    if (definition.lastResort && hasCommand) continue;
    for (const check of await definition.plan(project)) {
      if (check.command !== null && planned.some(({ command }) => command === check.command)) continue;
      if (check.command === null && planned.some(({ asked }) => asked)) continue;
      planned.push({ ...check, name: freeName(check.name, planned) });
    }
  }
  return planned;
};

const freeName = (name: string, planned: PlannedCheck[]): string => {
  let free = name;
  for (let count = 2; planned.some((check) => check.name === free); count++) free = `${name}-${count}`;
  return free;
};
