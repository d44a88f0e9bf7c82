/** `nexus agents`: who there is, who works at what, which workers run them. `agents-edit.ts` changes who there is. */
import type { AgentList } from '@nexus/shared/client';
import type { Command } from 'commander';
import { asTyped, nexus } from '../command-word.ts';
import { table } from '../output.ts';
import type { Act } from '../program.ts';
import type { Tools } from '../tools.ts';
import { addAgentEditing } from './agents-edit.ts';

export const addAgents = (program: Command, act: Act): void => {
  const agents = program
    .command('agents')
    .description('the agents: who there is, and who there shall be')
    .addHelpText('after', help);
  agents
    .command('ls', { isDefault: true })
    .description('list agents and the workers that run them')
    .action(act(listAgents));
  addAgentEditing(agents, act);
};

const help = `
Without a word it lists them. A definition is Markdown with front matter, as Claude Code’s subagents are written.

Examples:
  nexus agents --json
  nexus agents validate ~/.claude/agents/*.md
  nexus agents add ~/.claude/agents/code-reviewer.md
  nexus agents import profiles.json --to ./agents
  nexus agents rm code-reviewer`;

const lent = 'command, where a task brings it';

const listAgents = async ({ client, output }: Tools): Promise<undefined> => {
  const list = await (await client()).agents();
  output.document(list);
  output.say(...agentLines(list));
};

const agentLines = ({ agents, workers, system_health, says, active_agents, total_agents }: AgentList): string[] => {
  const agentRows = agents.map((agent) => [
    agent.agent_id,
    agent.name,
    agent.role,
    agent.status,
    `${agent.tasks_completed_today} done, ${agent.tasks_failed_today} failed`,
    agent.running.map(({ task_id, subtask_id }) => `${task_id}/${subtask_id}`).join(', '),
  ]);
  const workerRows = workers.map((worker) => [
    worker.instance_id,
    worker.host,
    worker.state,
    `${worker.busy} of ${worker.slots}`,
    worker.runtimes
      .filter(({ usable }) => usable)
      .map(({ name }) => name)
      .join(', ') || (worker.runtimes.some(({ name }) => name === 'command') ? lent : `none usable: ${nexus} doctor`),
  ]);
  return [
    `${active_agents} of ${total_agents} agents at work; health ${system_health}: ${asTyped(says)}`,
    '',
    ...table([['AGENT', 'NAME', 'ROLE', 'STATUS', 'TODAY', 'WORKS AT'], ...agentRows]),
    '',
    ...(workers.length === 0
      ? [`No worker is alive. Start one: ${nexus} up`]
      : table([['WORKER', 'HOST', 'STATE', 'SLOTS', 'RUNTIMES'], ...workerRows])),
  ];
};
