/** One workflow: YAML, checked for shape, graph and roles; every problem is named with its line. */

import { fail } from '@nexus/shared/errors';
import { type PlannedSubtask, plannedSubtask, timeBoxProblem } from '@nexus/shared/messages/domain';
import { lineOf } from '@nexus/shared/messages/scenario';
import { LineCounter, parseDocument } from 'yaml';
import { z } from 'zod';
import { type GraphProblem, graphProblems } from './graph.ts';

const workflowSchema = z.strictObject({
  name: z.string().regex(/^[a-z0-9][a-z0-9-]{0,63}$/, 'lower-case letters, digits and dashes'),
  description: z.string().trim().min(1).max(2000),
  /** never: has no analyst of its own. where_asked: its analyst is left out unless asked for. always: stays. */
  analyst: z.enum(['never', 'where_asked', 'always']).default('never'),
  /** Words and phrases of a request that choose this workflow when none is asked for. */
  chooses: z.array(z.string().trim().min(1).max(100).toLowerCase()).max(100).default([]),
  subtasks: z.array(plannedSubtask).min(1).max(100),
});

export type Workflow = {
  name: string;
  description: string;
  analyst: 'never' | 'where_asked' | 'always';
  chooses: string[];
  subtasks: PlannedSubtask[];
  file: string;
};

/**
 * Reads the text of one workflow. `knowsRole` says whether an agent has a role or id. Throws
 * `DEFINITION_INVALID` with every problem and its line.
 */
export const readWorkflow = (file: string, source: string, knowsRole: (role: string) => boolean): Workflow => {
  const lines = new LineCounter();
  const document = parseDocument(source, { lineCounter: lines });
  const [broken] = document.errors;
  if (broken) refuse(file, [`line ${lines.linePos(broken.pos[0]).line}: ${broken.message.split(/ at line \d+/)[0]}`]);
  const read = workflowSchema.safeParse(document.toJS());
  const problems: GraphProblem[] = read.success
    ? [...shapeProblems(read.data), ...roleProblems(read.data.subtasks, knowsRole)]
    : read.error.issues.map((issue) => ({
        path: issue.path as (string | number)[],
        says: `${issue.path.join('.') || 'the file'}: ${issue.message}`,
      }));
  if (problems.length > 0) {
    refuse(
      file,
      problems.map(({ path, says }) => `line ${lineOf(document, lines, path)}: ${says}`),
    );
  }
  return { ...(read.data as z.infer<typeof workflowSchema>), file };
};

const refuse = (file: string, problems: string[]): never => {
  throw fail('DEFINITION_INVALID', { file, problem: problems.join('; ') });
};

const shapeProblems = (workflow: z.infer<typeof workflowSchema>): GraphProblem[] => {
  const { subtasks, analyst } = workflow;
  const problems = graphProblems(subtasks).map(({ path, says }) => ({ path: ['subtasks', ...path], says }));
  const hasAnalyst = subtasks.some((node) => node.role === 'analyst');
  if (hasAnalyst !== (analyst !== 'never')) {
    const says = hasAnalyst
      ? 'analyst is "never", but a subtask has the role analyst'
      : `analyst is "${analyst}", but no subtask has the role analyst`;
    problems.push({ path: ['analyst'], says });
  }
  if (analyst === 'where_asked' && subtasks.every((node) => node.role === 'analyst')) {
    problems.push({ path: ['analyst'], says: 'analyst is "where_asked", but without it nothing would be left' });
  }
  for (const [at, { id, time_box_minutes, time_box_level }] of subtasks.entries()) {
    const says = timeBoxProblem(time_box_minutes, time_box_level);
    if (says !== null) problems.push({ path: ['subtasks', at, 'time_box_minutes'], says: `"${id}": ${says}` });
  }
  const planner = subtasks.findIndex((node) => node.grows);
  const stands = subtasks.findIndex((node) => node.stands_for_plan);
  if (stands >= 0 && planner < 0) {
    const says = `"${subtasks[stands]?.id}" stands for a plan, but no subtask grows`;
    problems.push({ path: ['subtasks', stands, 'stands_for_plan'], says });
  }
  return problems;
};

const roleProblems = (subtasks: PlannedSubtask[], knowsRole: (role: string) => boolean): GraphProblem[] =>
  subtasks.flatMap((node, at) =>
    knowsRole(node.role)
      ? []
      : [{ path: ['subtasks', at, 'role'], says: `no agent has the role or id "${node.role}"` }],
  );
