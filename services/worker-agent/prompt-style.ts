/**
 * The style of a prompt: who the agent is and how it goes about it, for whom, and how much time there is. It differs
 * from agent to agent and from order to order; what has to be done stands in the contract, which knows nothing of it.
 *
 * After two failures the stress block appears: how this agent works under pressure, and what everybody does then.
 */
import type { AgentDefinition } from '@nexus/shared/catalog';
import type { PayloadOf } from '@nexus/shared/messages';
import type { TaskRequest } from '@nexus/shared/messages/domain';

type Order = PayloadOf<'subtask.dispatched'>;

/** Who reads what the agent leaves behind. */
export type Recipient = 'planners' | 'people' | 'agents';
export type Urgency = 'urgent' | 'usual' | 'relaxed';

/** From so many failures on an agent is told that it is under pressure. */
export const stressedFrom = 2;
const urgentWithinMs = 2 * 3_600_000;

/** Who the agent is: its name and the body of its definition. */
export const personaBlock = ({ name, persona }: AgentDefinition): string =>
  `You are ${name}.\n\n${persona.trim()}`.trim();

/** How it goes about it this time. */
export const styleBlock = (agent: AgentDefinition, recipient: Recipient, urgency: Urgency): string => {
  const lines: [string, string | null][] = [
    ['Traits', agent.traits.join(', ') || null],
    ['How you write', agent.communication_style],
    ['How you decide', agent.decision_making],
    ['How you work with others', agent.collaboration_style],
    ['What you know', agent.expertise.join(', ') || null],
    ['For whom', recipients[recipient]],
    ['Time', urgencies[urgency]],
  ];
  return ['# Your manner', lines.flatMap(([name, text]) => (text ? [`- ${name}: ${text}`] : [])).join('\n')].join(
    '\n\n',
  );
};

const recipients: Record<Recipient, string> = {
  planners: 'Your plan is carried out by agents who see their own part of it alone. Write down all that they need.',
  people:
    'A person reads your report, and may not know this code. Begin with the answer, explain each name at its first use.',
  agents: 'Your report is read by the agents that go on from here. Names, files, commands and interfaces; no prose.',
};

const urgencies: Record<Urgency, string | null> = {
  urgent:
    'It is urgent. Take the shortest way that meets the acceptance in full; what could be better goes into `next_steps`.',
  usual: null,
  relaxed: 'There is no hurry. Prefer the thorough way where two are open.',
};

/** Empty below so many failures. */
export const stressBlock = ({ stress_response }: AgentDefinition, failures: number): string => {
  if (failures < stressedFrom) return '';
  const own = stress_response === null ? '' : `\n- How you are under pressure: ${stress_response}`;
  return `# Under pressure

This has failed ${failures} times, so the way it was tried does not work.
${own}
- Before you change anything, write down in one sentence each what was tried and why it failed.
- Do not try the same again. Find the assumption behind it, and test that first, with the smallest step that tells.
- Where only a person can know the answer, ask it in \`additional_questions\`, and say what you assumed meanwhile.`;
};

/** A plan is for agents, a document for people, code for whoever builds on it. */
export const recipientOf = ({ grows, kind }: Order): Recipient =>
  grows ? 'planners' : kind === 'report' ? 'people' : 'agents';

/** By its priority, and by how near its deadline is. */
export const urgencyOf = ({ priority = 'NORMAL', deadline }: TaskRequest, now: number): Urgency => {
  if (deadline !== undefined && Date.parse(deadline) - now < urgentWithinMs) return 'urgent';
  return priority === 'CRITICAL' || priority === 'HIGH' ? 'urgent' : priority === 'LOW' ? 'relaxed' : 'usual';
};
