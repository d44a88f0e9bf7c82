/**
 * Planning without a model: a workflow's subtasks, or a chain of the roles asked for, as a plan.
 *
 * Pure. What it cannot know it leaves null: nobody here can tell a probability or a price. Risks are only
 * those that follow from the request and the repository.
 */
import {
  type AgentDefinition,
  type Catalog,
  validateRequest,
  type Workflow,
  withTemporary,
} from '@nexus/shared/catalog';
import { type Plan, type PlannedSubtask, plannedSubtask, type TaskRequest } from '@nexus/shared/messages/domain';
import { chooseWorkflow } from './choose.ts';

/** The name under which a chain of roles stands in place of a workflow's. */
const chainName = 'roles';

const planningRoles = ['planner', 'coordinator'];
const reportingRoles = ['analyst', 'reviewer', 'orchestrator', 'test-validator'];
const testingRoles = ['tester', 'test-creator'];
/** Work that follows what was built, and so never stands for the plan. */
const followingRoles = [...testingRoles, 'documenter'];
const editingTools = ['Edit', 'Write', 'MultiEdit', 'NotebookEdit'];

/**
 * Plans a request. `warnings` are what was found of its repository. Throws `WORKFLOW_UNKNOWN`,
 * `ROLE_UNKNOWN` or `REQUEST_INVALID` where the request names what the catalog does not have.
 */
export const planRequest = (fleet: Catalog, request: TaskRequest, warnings: readonly string[], now: number): Plan => {
  validateRequest(fleet, request);
  const catalog = withTemporary(fleet, request.agents);
  const mode = request.mode ?? 'parallel';
  const risks = risksOf(request, warnings, now);
  const { agents } = request;
  const rest = { mode, risks, probability: null, price_usd: null, ...(agents === undefined ? {} : { agents }) };
  if (request.roles !== undefined) {
    const subtasks = withAnalyst(catalog, chainOf(catalog, request.roles), request.analyst === true);
    const approach = `The roles asked for, one after the other: ${stepsOf(subtasks)}.`;
    return { ...rest, approach, workflow: chainName, subtasks };
  }
  const workflow =
    request.workflow === undefined
      ? chooseWorkflow(catalog.workflows, request.request)
      : catalog.workflow(request.workflow);
  const subtasks = subtasksOf(catalog, workflow, request.analyst);
  const why = request.workflow === undefined ? `chosen by the words of the request` : `as asked for`;
  const grows = subtasks.some((node) => node.grows) ? ' What the planner plans is added while the work goes on.' : '';
  const steps = `Steps: ${stepsOf(subtasks)}.${grows}`;
  const approach = `The workflow "${workflow.name}", ${why}: ${workflow.description} ${steps}`;
  return { ...rest, approach, workflow: workflow.name, subtasks };
};

/**
 * The planner that is put before a subtask which fails again and again: what it plans stands in place of the
 * subtask, in smaller pieces. Null where the catalog has nobody who plans.
 */
export const plannerFor = (
  catalog: Catalog,
  failed: { subtask_id: string; title: string; goal: string; reason: string },
): PlannedSubtask | null => {
  const role = planningRoles.find((one) => [...catalog.agents.values()].some((agent) => agent.role === one));
  if (role === undefined) return null;
  return plannedSubtask.parse({
    id: `replan-${failed.subtask_id}`.slice(0, 44).replace(/-+$/, ''),
    title: `Plan anew: ${failed.title}`.slice(0, 200),
    role,
    kind: 'report',
    grows: true,
    time_box_minutes: 20,
    goal: [
      `The subtask "${failed.title}" failed in every attempt. Find out why, and cut it into smaller subtasks, or plan`,
      'another way to the same end, in .nexus/plan.json: what you plan is done in its place.',
      `Why it failed: ${failed.reason.slice(0, 2000)}`,
      `What it was to do: ${failed.goal.slice(0, 4000)}`,
    ].join('\n'),
    acceptance: ['.nexus/plan.json is valid, and its subtasks together do what the one that failed was to do.'],
  });
};

const stepsOf = (subtasks: readonly PlannedSubtask[]): string =>
  subtasks.map((node) => `${node.title} (${node.role})`).join(' → ');

/** The subtasks of a workflow, with or without its analyst. */
const subtasksOf = (catalog: Catalog, workflow: Workflow, asked: boolean | undefined): PlannedSubtask[] => {
  if (workflow.analyst === 'never') return withAnalyst(catalog, workflow.subtasks, asked === true);
  if (workflow.analyst === 'always' || asked === true) return workflow.subtasks;
  return workflow.subtasks.filter((node) => node.role === 'analyst').reduce(without, workflow.subtasks);
};

/** The subtasks without one; those that depended on it depend on what it depended on. */
const without = (subtasks: PlannedSubtask[], gone: PlannedSubtask): PlannedSubtask[] =>
  subtasks
    .filter((node) => node.id !== gone.id)
    .map((node) => {
      const { depends_on } = subtasks.find((other) => other.id === gone.id) ?? gone;
      const needs = node.depends_on.flatMap((id) => (id === gone.id ? depends_on : [id]));
      return { ...node, depends_on: [...new Set(needs)] };
    });

/** An analyst before everything that depends on nothing, where one is asked for and none begins already. */
const withAnalyst = (catalog: Catalog, subtasks: PlannedSubtask[], asked: boolean): PlannedSubtask[] => {
  const roots = subtasks.filter((node) => node.depends_on.length === 0);
  if (!asked || roots.every((node) => catalog.agentFor(node.role).role === 'analyst')) return subtasks;
  const id = freeId('analyse', new Set(subtasks.map((node) => node.id)));
  const analyst = plannedSubtask.parse({
    id,
    title: 'Look into the request',
    role: 'analyst',
    kind: 'report',
    goal: 'Find out what the request needs before anybody works on it: what is there already, which ways there are.',
    time_box_minutes: 20,
  });
  const after = subtasks.map((node) => (node.depends_on.length === 0 ? { ...node, depends_on: [id] } : node));
  return [analyst, ...after];
};

/** The roles as a chain in the order given. */
const chainOf = (catalog: Catalog, roles: readonly string[]): PlannedSubtask[] => {
  const agents = roles.map((role) => catalog.agentFor(role));
  const planner = agents.findIndex((agent) => planningRoles.includes(agent.role));
  const stands = agents.findIndex((agent, at) => planner >= 0 && at > planner && builds(agent));
  const ids = new Set<string>();
  return agents.map((agent, at) => {
    const before = [...ids].at(-1);
    const id = freeId(slugOf(agent.role), ids);
    ids.add(id);
    const kind = kindOf(agent, agents.slice(at + 1));
    return plannedSubtask.parse({
      id,
      title: `${agent.name}: ${kind === 'report' ? 'report' : 'work'} on the request`,
      role: agent.agent_id,
      kind,
      goal: goalOf(agent, kind),
      depends_on: before === undefined ? [] : [before],
      grows: at === planner,
      stands_for_plan: at === stands,
      ...timeBoxOf(agent),
    });
  });
};

const timeBoxOf = ({ limits }: AgentDefinition): Partial<PlannedSubtask> => ({
  ...(limits?.time_box_minutes ? { time_box_minutes: limits.time_box_minutes } : {}),
  ...(limits?.time_box_minutes && limits.time_box_level ? { time_box_level: limits.time_box_level } : {}),
});

/** Whether an agent's part of a chain is what a plan would be made of. */
const builds = (agent: AgentDefinition): boolean =>
  kindOf(agent, []) === 'code' && !followingRoles.includes(agent.role);

/** An agent that may edit nothing cannot end in a commit; tests before the code that they test may be red. */
const kindOf = (agent: AgentDefinition, later: readonly AgentDefinition[]): PlannedSubtask['kind'] => {
  const reports = [...planningRoles, ...reportingRoles].includes(agent.role);
  const edits = agent.tools.length === 0 || agent.tools.some((tool) => editingTools.includes(tool));
  if (reports || !edits) return 'report';
  return testingRoles.includes(agent.role) && later.some(builds) ? 'tests_first' : 'code';
};

const goalOf = (agent: AgentDefinition, kind: PlannedSubtask['kind']): string => {
  const goals = {
    report: 'Do your part of the request and report it. Change nothing but what your role is made for.',
    tests_first: 'Write the tests for what the request asks for, before it is built. They may be red until it is.',
    code: 'Do your part of the request, on top of what is in the workspace, and leave that part complete.',
  };
  const [duty = ''] = agent.description.split(/\n|Examples?:|<example>/);
  return `${goals[kind]} Your part, as ${agent.name}: ${duty.trim().slice(0, 1000)}`;
};

const slugOf = (role: string): string => role.replaceAll('_', '-').slice(0, 40);

const freeId = (wanted: string, taken: ReadonlySet<string>): string => {
  let id = wanted;
  for (let number = 2; taken.has(id); number++) id = `${wanted}-${number}`;
  return id;
};

const hourMs = 3_600_000;
const risksOf = (request: TaskRequest, warnings: readonly string[], now: number): string[] => {
  const risks = [...warnings];
  if ((request.checks ?? []).length === 0) {
    const otherwise = request.repository === undefined ? 'the new project' : 'the project itself';
    risks.push(`The request names no checks, so only what ${otherwise} declares can prove the result.`);
  }
  const leftMs = request.deadline === undefined ? Number.POSITIVE_INFINITY : Date.parse(request.deadline) - now;
  if (leftMs < hourMs) risks.push(`The deadline leaves ${Math.max(0, Math.round(leftMs / 60_000))} minutes.`);
  return risks.slice(0, 32);
};
