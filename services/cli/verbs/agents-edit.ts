/** `nexus agents show|add|update|rm|validate|import`: the definitions, for the whole fleet. */
import { mkdir, readdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { AgentGiven } from '@nexus/shared/client';
import { loadConfig } from '@nexus/shared/config';
import type { Command } from 'commander';
import { type Named, twinsOf } from '../agent-twins.ts';
import { nexus } from '../command-word.ts';
import { CommandFailure, type Exit, toFailure } from '../exit-codes.ts';
import type { Act } from '../program.ts';
import type { Tools } from '../tools.ts';

/** The catalog reads YAML, which no other verb needs. */
const openImporter = () => import('@nexus/shared/catalog');

export const addAgentEditing = (agents: Command, act: Act): void => {
  agents
    .command('show')
    .description('show one definition, as Markdown')
    .argument('<id>', 'its agent_id')
    .action(act(show));
  agents
    .command('add')
    .description('give the fleet an agent: every machine uses it within seconds')
    .argument('<file>', 'Markdown with front matter, as Claude Code’s subagents are written')
    .action(act(add));
  agents
    .command('update')
    .description('change an agent for the whole fleet; also one that is built in')
    .argument('<file>', 'the new definition')
    .option('--revision <n>', 'only if it still stands at this one (see `show --json`)', Number)
    .action(act(update));
  agents
    .command('rm')
    .description('take an agent from the fleet that it was given')
    .argument('<id>', 'its agent_id')
    .option('--force', 'also where open subtasks are planned for it: whoever else has the role takes over')
    .action(act(remove));
  agents
    .command('validate')
    .description('say what is wrong with definitions or profiles, with lines; asks no fleet')
    .argument('<files...>', 'Markdown, JSON or YAML')
    .action(act(validate));
  agents
    .command('import')
    .description('make profiles from elsewhere (JSON or YAML) into definitions, and give the fleet those')
    .argument('<files...>', 'profiles with personality_profile, claude_configuration, memory_system; or with agent')
    .option('--to <folder>', 'write Markdown files there instead, and ask no fleet')
    .option('--replace', 'change those that are there already')
    .action(act(importAll));
};

const show = async ({ client, output }: Tools, id: string): Promise<undefined> => {
  const agent = await (await client()).agent(id);
  output.document(agent);
  output.say(agent.source.trimEnd());
};

const add = async ({ client, output }: Tools, file: string): Promise<undefined> => {
  const source = await readText(file);
  const { lettersLeftOut } = await openImporter();
  // Before it is given: where that id is taken, the refusal alone would not say how it came about.
  const given = await readDefinition(file, source);
  output.note(...lettersLeftOut(given));
  const agent = await (await client()).addAgent({ source });
  output.document(agent);
  output.say(`${agent.agent_id} is added, for the whole fleet. ${nexus} agents show ${agent.agent_id}`);
};

const update = async ({ client, output }: Tools, file: string, { revision }: { revision?: number }) => {
  const source = await readText(file);
  const { agent_id } = await readDefinition(file, source);
  const given: AgentGiven = { source, ...(revision === undefined ? {} : { revision }) };
  const agent = await (await client()).updateAgent(agent_id, given);
  output.document(agent);
  output.say(`${agent.agent_id} is changed, for the whole fleet. Attempts that have begun go on as they began.`);
  return undefined;
};

const remove = async ({ client, output }: Tools, id: string, { force }: { force?: boolean }): Promise<undefined> => {
  const answer = await (await client()).removeAgent(id, force ? { force } : {});
  output.document(answer);
  const stands = { built_in: ' The built-in one stands again.', folder: ' That of a folder stands again.', fleet: '' };
  output.say(`${id} is removed.${answer.stands === null ? '' : stands[answer.stands]}`);
  if (answer.orphaned.length === 0) return;
  const left = answer.orphaned.join(', ');
  output.note(`Nobody has the role of ${left} now: add such an agent, or it will wait for a person.`);
};

type Checked = { file: string; valid: boolean; agents: string[]; problem: string | null; notices: string[] };

const validate = async ({ output }: Tools, files: string[]): Promise<Exit | undefined> => {
  const all: Checked[] = [];
  const named: (Named & { file: string })[] = [];
  const tooLarge = await openSizeLook();
  for (const file of new Set(files)) {
    try {
      const read = await readAny(file);
      named.push(
        ...read.map(({ agent: { agent_id, name } }, at) => {
          return { file, where: placeOf(file, at, read.length), agent_id, name };
        }),
      );
      const agents = read.map(({ agent }) => agent.agent_id);
      const notices = read.flatMap(({ notices, source }) => [...notices, ...tooLarge(source)]);
      all.push({ file, valid: true, agents, problem: null, notices });
    } catch (thrown) {
      const { code, message } = toFailure(thrown);
      if (code !== 'DEFINITION_INVALID' && code !== 'FILE_UNREADABLE') throw thrown;
      all.push({ file, valid: false, agents: [], problem: message, notices: [] });
    }
  }
  for (const { where, problem } of twinsOf(named)) {
    const file = named.find((one) => one.where === where)?.file;
    const one = all.find((checked) => checked.file === file);
    if (one) Object.assign(one, { valid: false, problem: [one.problem ?? where, problem].join(': ') });
  }
  output.document({ files: all });
  for (const { file, valid, agents, problem, notices } of all) {
    output.say(valid ? `${file}: ${agents.join(', ')}` : (problem ?? ''), ...notices.map((says) => `  ${says}`));
  }
  return all.every(({ valid }) => valid) ? undefined : 'refused';
};

/** Too large for the fleet, a definition may still lie in a folder; the gateway refuses it by the same setting. */
const openSizeLook = async (): Promise<(source: string) => string[]> => {
  const { givenConfig, sizeProblem } = await openImporter();
  const config = loadConfig(givenConfig);
  return (source) => {
    const problem = sizeProblem(source, config);
    return problem === null ? [] : [`The fleet is not given it: ${problem}; in a folder of agents it counts.`];
  };
};

type ImportOptions = { to?: string; replace?: boolean };

const importAll = async ({ client, output }: Tools, files: string[], options: ImportOptions): Promise<undefined> => {
  const { to, replace = false } = options;
  const all = await readProfiles(files);
  const fleet = to === undefined ? await client() : null;
  const there = fleet ? (await fleet.agents()).agents.map(({ agent_id }) => agent_id) : await idsIn(to ?? '');
  if (!replace) refuseThere(all, there, to ?? 'the fleet');
  const agents: { agent_id: string; where: string; notices: string[] }[] = [];
  if (to !== undefined) await mkdir(to, { recursive: true });
  for (const { agent, source, notices } of all) {
    const { agent_id } = agent;
    const where = to === undefined ? 'the fleet' : join(to, `${agent_id}.md`);
    try {
      if (fleet === null) await writeFile(where, source, { flag: replace ? 'w' : 'wx' }).catch(refuseFile(where));
      else if (there.includes(agent_id)) await fleet.updateAgent(agent_id, { source });
      else await fleet.addAgent({ source });
    } catch (thrown) {
      throw halfDone(thrown, agent_id, agents);
    }
    agents.push({ agent_id, where, notices });
    output.say(`${agent_id}: ${where}`, ...notices.map((says) => `  ${says}`));
  }
  output.document({ agents });
};

/** All are read and held against each other before the first is given: a mistake leaves nothing half done. */
const readProfiles = async (files: readonly string[]) => {
  const { importProfiles } = await openImporter();
  const all = [];
  for (const file of files) {
    const read = importProfiles(file, await readText(file));
    all.push(...read.map((one, at) => ({ ...one, where: placeOf(file, at, read.length) })));
  }
  const twins = twinsOf(all.map(({ where, agent: { agent_id, name } }) => ({ where, agent_id, name })));
  if (twins.length === 0) return all;
  const says = twins.map(({ where, problem }) => `${where}: ${problem}`).join('; ');
  throw new CommandFailure('refused', says, { code: 'DEFINITION_INVALID', advice: [untouched] });
};

const untouched = 'Nothing was imported.';
const placeOf = (file: string, at: number, of: number): string => (of === 1 ? file : `${file}, profile ${at + 1}`);

const idsIn = async (folder: string): Promise<string[]> =>
  (await readdir(folder).catch(() => [])).filter((name) => name.endsWith('.md')).map((name) => name.slice(0, -3));

type Read = { agent: { agent_id: string }; notices: string[] };

const refuseThere = (all: readonly Read[], there: readonly string[], where: string): void => {
  const met = all.filter(({ agent }) => there.includes(agent.agent_id));
  const taken = met.map(({ agent }) => agent.agent_id);
  if (taken.length === 0) return;
  const advice = [
    untouched,
    ...met.flatMap(({ notices }) => notices),
    `${nexus} agents import … --replace overwrites what is there`,
  ];
  throw new CommandFailure('refused', `Already in ${where}: ${taken.join(', ')}`, { code: 'AGENT_EXISTS', advice });
};

/** The failure of one, with what went in before it. */
const halfDone = (thrown: unknown, id: string, before: readonly { agent_id: string }[]): CommandFailure => {
  const { exit, message, code, advice, cause } = toFailure(thrown);
  const done = before.map(({ agent_id }) => agent_id).join(', ');
  const told = done === '' ? untouched : `Imported before it: ${done}; it and those after it were not.`;
  return new CommandFailure(exit, `${id}: ${message}`, { code, advice: [told, ...advice], cause });
};

/** One definition, or the profiles of a file. Throws DEFINITION_INVALID. */
const readAny = async (file: string) => {
  const source = await readText(file);
  const { importProfiles, lettersLeftOut } = await openImporter();
  if (!file.endsWith('.md')) return importProfiles(file, source);
  const agent = await readDefinition(file, source);
  return [{ agent, source, notices: lettersLeftOut(agent) }];
};

const readDefinition = async (file: string, source: string) => {
  const { readAgent, refuseRetired } = await openImporter();
  const agent = readAgent(file, source);
  if (agent) {
    refuseRetired(file, source, agent);
    return agent;
  }
  const says = `${file} is not a valid definition: line 1: there is no front matter`;
  const advice = ['It begins with a line of three dashes, the keys, and three dashes again.'];
  throw new CommandFailure('refused', says, { code: 'DEFINITION_INVALID', advice });
};

const readText = async (file: string): Promise<string> => {
  try {
    return await readFile(file, 'utf8');
  } catch (cause) {
    throw new CommandFailure('usage', `${file} cannot be read: ${(cause as Error).message}`, {
      code: 'FILE_UNREADABLE',
      cause,
    });
  }
};

const refuseFile = (file: string) => (cause: Error) => {
  throw new CommandFailure('refused', `${file} cannot be written: ${cause.message}`, { cause });
};
