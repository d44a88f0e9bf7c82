/**
 * The catalog of agents and workflows: who can work, and in which order a kind of task is worked on.
 *
 * Agents are Markdown files in the format of Claude Code's subagents, extended by our keys; workflows are
 * YAML. Both are read and checked as a whole: what is opened holds. A later folder wins over an earlier one, so a
 * person's own definition replaces a built-in one of the same id, and what the fleet was given (`shared-agents.ts`)
 * wins over folders, which every machine has for itself; `notices` say so once. A file without front matter is no
 * agent and is left alone. `live-catalog.ts` follows all of these while a service runs.
 *
 * Read on: `agent-definition.ts` (one agent; `write-agent.ts` back again, `profile.ts` from other forms,
 * `tool-names.ts` what its tools mean, `retired-models.ts` which models are gone),
 * `workflow-file.ts` (one workflow), `graph.ts` (what makes a
 * graph impossible), `request.ts` (a request held against the catalog), `others.ts` (who else can do it).
 * To add an agent: one file in `shared/agents`. To add a workflow: one file in `shared/workflows`.
 */
import { statSync } from 'node:fs';
import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { type ConfigOf, defineConfig, is, setting } from '@nexus/shared/config';
import { fail } from '@nexus/shared/errors';
import { z } from 'zod';
import { type AgentDefinition, readAgent } from './agent-definition.ts';
import { mayEdit, othersFor } from './others.ts';
import type { SharedAgent } from './shared-agents.ts';
import { readWorkflow, type Workflow } from './workflow-file.ts';

export { type AgentDefinition, lettersLeftOut, readAgent } from './agent-definition.ts';
export { type GraphNode, type GraphProblem, graphProblems } from './graph.ts';
export {
  type FollowingCatalog,
  type LiveCatalog,
  type LiveOptions,
  openLiveCatalog,
  withNewest,
} from './live-catalog.ts';
export { type Imported, importOne, importProfiles } from './profile.ts';
export { taskIdFor, validateRequest } from './request.ts';
export { claudeInPlaceOf, modelProblem, refuseRetired } from './retired-models.ts';
export {
  openSharedWriter,
  readSharedAgents,
  type SharedAgent,
  type SharedAgents,
  type SharedWriter,
} from './shared-agents.ts';
export { readTemporary, type Temporary, withTemporary } from './temporary.ts';
export { allToolNames, claudeTools, commonTools, resolveTools } from './tool-names.ts';
export type { Workflow } from './workflow-file.ts';
export { type AgentFields, writeAgent } from './write-agent.ts';
export { mayEdit };

export type Catalog = {
  agents: ReadonlyMap<string, AgentDefinition>;
  workflows: ReadonlyMap<string, Workflow>;
  /** The agent with this id, else the one with this role. Throws `ROLE_UNKNOWN`. */
  agentFor(roleOrId: string): AgentDefinition;
  /** All agents with this role; where nobody has it, the one with this id; or nobody. */
  candidatesFor(roleOrId: string): AgentDefinition[];
  /** Other agents that can do what this one does, the nearest first; empty for an agent that is not known. */
  othersFor(agentId: string): AgentDefinition[];
  /** Throws `WORKFLOW_UNKNOWN`. */
  workflow(name: string): Workflow;
  /** What a person should know of how it was put together, a sentence each: for one log line at start. */
  notices: readonly string[];
};

export type CatalogFolders = { agentsFolders?: string[]; workflowsFolders?: string[] };
/** With definitions that the whole fleet was given, which win over those of any folder. */
export type CatalogSources = CatalogFolders & { shared?: ReadonlyMap<string, SharedAgent> };

const folder = z
  .string()
  .refine((path) => statSync(path, { throwIfNoEntry: false })?.isDirectory() ?? false, 'there is no such folder')
  .optional();

/** The settings that name a person's own folders: every service that opens a catalog declares them. */
export const catalogConfig = defineConfig({
  agentsFolder: setting(
    'NEXUS_AGENTS_FOLDER',
    folder,
    'Your own agents: Markdown files as Claude Code’s subagents have them. One with the id of a built-in agent replaces it.',
  ),
  workflowsFolder: setting(
    'NEXUS_WORKFLOWS_FOLDER',
    folder,
    'Your own workflows: YAML files. One with the name of a built-in workflow replaces it.',
  ),
  catalogEvery: setting(
    'NEXUS_CATALOG_EVERY',
    is.duration,
    'How often agents and workflows are looked at for changes, in folders and in what the fleet was given.',
    { default: '2s' },
  ),
});

/** What the fleet may be given, beside what lies in folders. */
export const givenConfig = defineConfig({
  definitionBytesMax: setting(
    'NEXUS_DEFINITION_BYTES_MAX',
    is.count(1000, 64_000),
    'The largest definition that the fleet may be given, in bytes; it travels with each attempt.',
    { default: '16000' },
  ),
});

/** What is wrong with the size of a definition that is given to the fleet; null: nothing. */
export const sizeProblem = (source: string, { definitionBytesMax }: ConfigOf<typeof givenConfig>): string | null => {
  const bytes = Buffer.byteLength(source);
  if (bytes <= definitionBytesMax) return null;
  return `it has ${bytes} bytes, and NEXUS_DEFINITION_BYTES_MAX is ${definitionBytesMax}`;
};

/** The folders of a configured catalog, the built-in ones first: `openCatalog(foldersOf(config))`. */
export const foldersOf = (
  config: Pick<ConfigOf<typeof catalogConfig>, 'agentsFolder' | 'workflowsFolder'>,
): Required<CatalogFolders> => ({
  agentsFolders: [builtInAgents, ...(config.agentsFolder === undefined ? [] : [config.agentsFolder])],
  workflowsFolders: [builtInWorkflows, ...(config.workflowsFolder === undefined ? [] : [config.workflowsFolder])],
});

const builtInAgents = fileURLToPath(new URL('../../agents', import.meta.url));
const builtInWorkflows = fileURLToPath(new URL('../../workflows', import.meta.url));

/**
 * Reads and checks all definitions. Folders that are given stand instead of the built-in ones. Throws
 * `DEFINITION_INVALID` for the first file that does not hold, with everything that is wrong in it.
 */
export const openCatalog = async (folders: CatalogSources = {}): Promise<Catalog> => {
  const notices: string[] = [];
  const agents = await readAll(folders.agentsFolders ?? [builtInAgents], ['.md'], notices, (file, text) => {
    const agent = readAgent(file, text);
    if (agent === null) notices.push(`${file} has no front matter, so it is no agent.`);
    return agent && { id: agent.agent_id, what: 'agent', value: agent };
  });
  addShared(agents, folders.shared ?? new Map(), notices);
  const known = [...agents.values()];
  const findAgent = (wanted: string): AgentDefinition | undefined => {
    const name = wanted.trim().toLowerCase();
    return agents.get(name) ?? known.find((agent) => agent.role === name);
  };
  const read = (file: string, text: string) => {
    const workflow = readWorkflow(file, text, (role) => findAgent(role) !== undefined);
    return { id: workflow.name, what: 'workflow', value: workflow };
  };
  const workflows = await readAll(folders.workflowsFolders ?? [builtInWorkflows], ['.yaml', '.yml'], notices, read);
  return {
    agents,
    workflows,
    notices,
    agentFor: (role) => {
      const agent = findAgent(role);
      if (agent) return agent;
      // The two spellings of a name are one name.
      const names = new Map(
        known.flatMap((one) => [one.role, one.agent_id]).map((name) => [name.replaceAll('_', '-'), name]),
      );
      throw fail('ROLE_UNKNOWN', { role, known: [...names.values()].sort().join(', ') });
    },
    candidatesFor: (wanted) => {
      const name = wanted.trim().toLowerCase();
      const having = known.filter((agent) => agent.role === name);
      const named = agents.get(name);
      // An id that is nobody's role asks for this one agent; one that is also a role asks for whoever has it.
      return named && named.role !== name ? [named] : having;
    },
    othersFor: (id) => {
      const agent = agents.get(id);
      return agent === undefined ? [] : othersFor(known, agent);
    },
    workflow: (name) => {
      const workflow = workflows.get(name);
      if (workflow) return workflow;
      throw fail('WORKFLOW_UNKNOWN', { workflow: name, known: [...workflows.keys()].sort().join(', ') });
    },
  };
};

/** Where a definition comes from. */
export type Origin = 'built_in' | 'folder' | 'fleet';

export const originOf = ({ file }: Pick<AgentDefinition, 'file'>): Origin =>
  file.startsWith(fleetFile) ? 'fleet' : file.startsWith(builtInAgents) ? 'built_in' : 'folder';

/** Stands where a definition that the fleet was given has no file. */
export const fleetFile = 'fleet:';

/** One that cannot be read (a newer gateway wrote it) is left out, and what it would have replaced stays. */
const addShared = (
  agents: Map<string, AgentDefinition>,
  shared: ReadonlyMap<string, SharedAgent>,
  notices: string[],
): void => {
  for (const [id, { source }] of shared) {
    const file = `${fleetFile}${id}`;
    try {
      const agent = readAgent(file, source);
      if (agent === null || agent.agent_id !== id) throw fail('DEFINITION_INVALID', { file, problem: 'it is another' });
      const replaced = agents.get(id);
      if (replaced) notices.push(`The agent "${id}" that the fleet was given replaces that of ${replaced.file}.`);
      agents.set(id, agent);
    } catch (thrown) {
      notices.push(`A definition that the fleet was given is left out: ${(thrown as Error).message}`);
    }
  }
};

type Definition<T> = { id: string; what: string; value: T & { file: string } };
type ReadOne<T> = (file: string, text: string) => Definition<T> | null;

/** All definitions of the folders by id: within a folder an id may occur once, between folders the later wins. */
const readAll = async <T extends { name: string }>(
  folders: string[],
  endings: string[],
  notices: string[],
  read: ReadOne<T>,
): Promise<Map<string, T & { file: string }>> => {
  const all = new Map<string, T & { file: string }>();
  for (const path of folders) {
    const here = new Map<string, string>();
    for (const file of await filesIn(path, endings)) {
      const definition = read(file, await readFile(file, 'utf8'));
      if (definition === null) continue;
      const { id, what, value } = definition;
      const names = [id, `name ${value.name.toLowerCase()}`];
      const twin = names.map((name) => here.get(name)).find((other) => other !== undefined);
      if (twin) {
        const same = here.has(id) ? `"${id}" is defined` : `name "${value.name}" is used`;
        throw fail('DEFINITION_TWICE', { file, what, same, twin });
      }
      const replaced = all.get(id);
      if (replaced) notices.push(`The ${what} "${id}" of ${file} replaces that of ${replaced.file}.`);
      for (const name of names) here.set(name, file);
      all.set(id, value);
    }
  }
  return all;
};

/** The definition files of a folder and the folders in it, in the order of their names; no read-me, nothing hidden. */
export const filesIn = async (path: string, endings: string[]): Promise<string[]> => {
  let entries: string[];
  try {
    entries = await readdir(path, { recursive: true });
  } catch (error) {
    throw fail('DEFINITION_INVALID', { file: path, problem: (error as Error).message }, { cause: error });
  }
  return entries
    .filter((entry) => endings.some((ending) => entry.endsWith(ending)))
    .filter((entry) => !/(^|\/)(\.|readme\.)/i.test(entry))
    .sort()
    .map((entry) => join(path, entry));
};
