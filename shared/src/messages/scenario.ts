/**
 * The scenario of a rehearsal: what scripted agents write, run and say, and how they fail or crash.
 *
 * A scenario never says what the fleet does: order, verdicts, conflicts and merges come from the
 * services. It is YAML:
 *
 *   name: A small shortener
 *   speed: 2                      # every wait is divided by it; left out: 1
 *   subtasks:
 *     storage:                    # the id of a subtask, or a role, or the id of an agent
 *       - - say: I write the storage.
 *         - write: { src/storage.js: "export const links = new Map();\n" }
 *         - crash: SIGKILL        # attempt 1 dies here
 *       - - run: node --test      # attempt 2; the last one listed is repeated for all that follow
 *         - report: { summary: Storage in memory. }
 *
 * Every step is a mapping with exactly one action; `steps` below lists them all. A mistake is told
 * with its line. `parseScenario` is the only way in; the gateway calls it before it accepts a task,
 * the scripted runtime before it plays one.
 */
import { fail } from '@nexus/shared/errors';
import { type Document, LineCounter, parseDocument } from 'yaml';
import { z } from 'zod';
import { lineOf } from './line-of.ts';

export { lineOf };

/** A path inside the workspace: what a step may write, and never anything outside. */
const inside = z
  .string()
  .min(1)
  .max(500)
  .refine((path) => !path.startsWith('/') && !path.split(/[/\\]/).includes('..'), 'leaves the workspace');
const texts = z
  .record(inside, z.string())
  .refine((files) => Object.keys(files).length > 0, 'names no file; write it as { path: text }');
const command = z.string().min(1).max(8192);
const milliseconds = z.number().min(0).max(7_200_000);

/** Every action of a step, with what it takes. */
const steps = {
  say: z.string().meta({ description: 'Prints a line.' }),
  write: texts.meta({ description: 'Writes files; folders are made.' }),
  append: texts.meta({ description: 'Adds to the end of files.' }),
  replace: z
    .strictObject({ path: inside, old: z.string().min(1), new: z.string() })
    .meta({ description: 'Replaces text in a file, everywhere it stands; the agent fails where it is not found.' }),
  delete: z
    .union([inside, z.array(inside).min(1)], 'expected a path inside the workspace, or a list of them')
    .meta({ description: 'Removes files or folders.' }),
  run: command.meta({ description: 'Runs a shell command, the prompt on its input; a failing one fails the agent.' }),
  wait: milliseconds.meta({ description: 'Does nothing for so many milliseconds.' }),
  plan: z
    .union([z.record(z.string(), z.unknown()), z.string()], 'expected a mapping or text')
    .meta({ description: 'Writes .nexus/plan.json: a mapping as JSON, text as it stands.' }),
  report: z
    .union([z.record(z.string(), z.unknown()), z.string()], 'expected a mapping or text')
    .meta({ description: 'Writes .nexus/report.json from a mapping, .nexus/report.md from text.' }),
  commit: z.string().min(1).meta({ description: 'Commits everything so far with this message.' }),
  exit: z.int().min(0).max(255).meta({ description: 'Ends the agent with this exit code.' }),
  crash: z.enum(['SIGKILL', 'SIGTERM', 'SIGSEGV', 'SIGABRT']).meta({ description: 'The agent kills itself.' }),
  hang: z.literal(true).meta({ description: 'Never ends by itself.' }),
  until_told: z.literal(true).meta({ description: 'Waits until the worker tells the agent something, and prints it.' }),
  spawn_background: command.meta({ description: 'Starts a command in a session of its own, and leaves it running.' }),
  resolve: texts.meta({ description: 'Writes the resolved content of files in conflict.' }),
} as const;

const optional = Object.fromEntries(Object.entries(steps).map(([name, schema]) => [name, schema.optional()])) as {
  [Name in keyof typeof steps]: z.ZodOptional<(typeof steps)[Name]>;
};

const known = Object.keys(steps).join(', ');
const scenarioStep = z
  .strictObject({ ...optional, allow_fail: z.boolean().optional() }, { error: (issue) => stepProblem(issue) })
  .refine(
    ({ allow_fail: _, ...step }) => Object.values(step).filter((value) => value !== undefined).length === 1,
    `must have exactly one action of: ${known}`,
  )
  .refine(
    (step) => step.allow_fail === undefined || step.run !== undefined,
    'allow_fail belongs to a step with `run` only',
  );

const stepProblem = (issue: { code?: string | undefined; keys?: unknown }): string | undefined => {
  if (issue.code === 'unrecognized_keys') return `unknown action ${JSON.stringify(issue.keys)}; there are: ${known}`;
  return issue.code === 'invalid_type' ? `a step is a mapping with one action of: ${known}` : undefined;
};

const scenarioSchema = z.strictObject({
  name: z.string().min(1).max(200),
  speed: z.number().positive().max(1000).default(1),
  subtasks: z.record(z.string().min(1).max(64), z.array(z.array(scenarioStep)).min(1, 'needs at least one attempt')),
});

export type ScenarioStep = z.infer<typeof scenarioStep>;
export type Scenario = z.infer<typeof scenarioSchema>;

/** Reads a scenario's text. Throws `SCENARIO_INVALID`; every problem names its line. */
export const parseScenario = (text: string): Scenario => {
  const lines = new LineCounter();
  const document = parseDocument(text, { lineCounter: lines, prettyErrors: false });
  const broken = document.errors[0];
  if (broken) {
    const { line, col } = lines.linePos(broken.pos[0]);
    throw fail('SCENARIO_INVALID', { problem: `line ${line}, column ${col}: ${broken.message}` });
  }
  const read = scenarioSchema.safeParse(contentOf(document));
  if (read.success) return read.data;
  const problems = read.error.issues
    .slice(0, 5)
    .map((issue) => `line ${lineOf(document, lines, issue.path)}: ${whereOf(issue.path)}${messageOf(issue)}`);
  throw fail('SCENARIO_INVALID', { problem: problems.join('; ') });
};

/**
 * What an agent does at an attempt: the entry of its subtask, else of its role, else of the agent; the
 * last attempt listed stands for all that follow. Null: the scenario knows nothing of it.
 */
export const stepsFor = (
  scenario: Scenario,
  who: { subtaskId: string; role: string; agentId: string },
  attempt: number,
): ScenarioStep[] | null => {
  const name = [who.subtaskId, who.role, who.agentId].find((key) => Object.hasOwn(scenario.subtasks, key));
  const attempts = name === undefined ? undefined : scenario.subtasks[name];
  return attempts?.[Math.min(attempt, attempts.length) - 1] ?? null;
};

/** zod says "Invalid key" and keeps the reason inside. */
const messageOf = (issue: z.core.$ZodIssue): string =>
  issue.code === 'invalid_key' ? (issue.issues[0]?.message ?? issue.message) : issue.message;

/** The document as plain values. Too many aliases are refused here, before they unfold. */
const contentOf = (document: Document.Parsed): unknown => {
  try {
    return document.toJS({ maxAliasCount: 100 });
  } catch (cause) {
    throw fail('SCENARIO_INVALID', { problem: (cause as Error).message }, { cause });
  }
};

const whereOf = (path: readonly PropertyKey[]): string =>
  path.length === 0
    ? ''
    : `${path.map((part) => (typeof part === 'number' ? `[${part + 1}]` : String(part))).join(' ')}: `;
