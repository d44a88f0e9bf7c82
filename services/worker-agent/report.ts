/**
 * What an agent leaves behind in `.nexus/`, read: its report and its plan.
 *
 * Agents write these by hand, so a report is read leniently: a field that cannot be used is dropped, never
 * the whole, and where there is none the end of what the agent said stands in. A plan is taken as it is or
 * sent back with its mistakes. Both must fit into one envelope together (rule 14: 64 kB).
 */
import { lstat, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import {
  type AttemptReport,
  attemptReport,
  type PlanFile,
  type PlanSketch,
  planFile,
  planSketch,
} from '@nexus/shared/messages/domain';
import { z } from 'zod';

/** The files of `.nexus` that mean something, by their names; null where there is none. */
export type Left = { 'report.json': string | null; 'report.md': string | null; 'plan.json': string | null };

const fileBytesMax = 1_000_000;
const reportBytesMax = 12_000;
const planBytesMax = 28_000;

/** Reads what lies in `.nexus`. Links and huge files are not read: nobody leaves those on purpose. */
export const readLeft = async (folder: string): Promise<Left> => {
  const read = async (name: string): Promise<string | null> => {
    const path = join(folder, '.nexus', name);
    const found = await lstat(path).catch(() => null);
    return found?.isFile() && found.size <= fileBytesMax ? await readFile(path, 'utf8') : null;
  };
  const [json, md, plan] = await Promise.all([read('report.json'), read('report.md'), read('plan.json')]);
  return { 'report.json': json, 'report.md': md, 'plan.json': plan };
};

/** What `after` holds that `before` did not: a repository may have such files of its own. */
export const leftSince = (before: Left, after: Left): Left => ({
  'report.json': after['report.json'] === before['report.json'] ? null : after['report.json'],
  'report.md': after['report.md'] === before['report.md'] ? null : after['report.md'],
  'plan.json': after['plan.json'] === before['plan.json'] ? null : after['plan.json'],
});

/** The report of an attempt, and the whole text of its document where there is one. Never fails. */
export const reportOf = (left: Left, outputTail: string): { report: AttemptReport; document: string } => {
  const json = left['report.json'] === null ? null : lenientJson(left['report.json']);
  const markdown = left['report.md'];
  if (json !== null) {
    const report = fitted(lenient(json));
    if (report.summary !== '') return { report, document: markdown ?? report.summary };
    return { report: { ...report, summary: firstOf(markdown) || lastWordsOf(outputTail) }, document: markdown ?? '' };
  }
  if (markdown?.trim()) return { report: fitted(emptyReport(firstOf(markdown))), document: markdown };
  const said = lastWordsOf(left['report.json'] ?? outputTail);
  return { report: fitted(emptyReport(said)), document: left['report.json'] ?? '' };
};

/** What `.nexus/plan.json` held, or why it cannot be used; null if there was none. */
export const planOf = (left: Left): { file: PlanFile } | { problem: string; sketch?: PlanSketch } | null => {
  const text = left['plan.json'];
  if (text === null) return null;
  if (Buffer.byteLength(text) > planBytesMax * 2) return tooLarge(Buffer.byteLength(text));
  let content: unknown;
  try {
    content = JSON.parse(text);
  } catch (error) {
    return { problem: `.nexus/plan.json is not JSON: ${(error as Error).message}` };
  }
  const read = planFile.safeParse(content);
  if (!read.success) {
    const problems = read.error.issues
      .slice(0, 20)
      .map((issue) => `${issue.path.join('.') || 'plan'}: ${issue.message}`);
    const problem = `.nexus/plan.json does not hold: ${problems.join('; ')}`.slice(0, 4000);
    return { problem, sketch: sketchOf(content) };
  }
  const bytes = Buffer.byteLength(JSON.stringify(read.data));
  return bytes > planBytesMax ? tooLarge(bytes) : { file: read.data };
};

/** The nodes of a plan as far as they can be read; one that brings agents along may name them as roles. */
const sketchOf = (content: unknown): PlanSketch => {
  const { subtasks, agents } = (content ?? {}) as { subtasks?: unknown; agents?: unknown };
  const nodes = Array.isArray(subtasks) ? subtasks.slice(0, 200) : [];
  return nodes.flatMap((node: unknown) => {
    const { id, role, depends_on } = (node ?? {}) as Record<string, unknown>;
    const known = { id, role: agents === undefined ? (role ?? null) : null, depends_on: depends_on ?? [] };
    const { data } = planSketch.safeParse([known]);
    return data ?? planSketch.safeParse([{ ...known, role: null, depends_on: [] }]).data ?? [];
  });
};

const tooLarge = (bytes: number): { problem: string } => ({
  problem:
    `.nexus/plan.json has ${bytes} bytes; at most ${planBytesMax} can be taken. ` +
    'Shorten the goals, or plan fewer subtasks.',
});

/** JSON, also where an agent put a fence around it. */
const lenientJson = (text: string): Record<string, unknown> | null => {
  const bare = text
    .trim()
    .replace(/^```(?:json)?\s*\n/, '')
    .replace(/\n```$/, '');
  try {
    const content: unknown = JSON.parse(bare);
    return content !== null && typeof content === 'object' && !Array.isArray(content)
      ? (content as Record<string, unknown>)
      : null;
  } catch {
    return null;
  }
};

const texts = (lengthMax: number, countMax: number) =>
  z.preprocess(
    (value) =>
      [value ?? []]
        .flat()
        .map((item) => (typeof item === 'string' ? item : JSON.stringify(item)))
        .filter((item) => item)
        .slice(0, countMax)
        .map((item) => item.slice(0, lengthMax)),
    z.array(z.string()),
  );

const score = (minimum: number, maximum: number) =>
  z
    .preprocess((value) => (typeof value === 'string' ? Number(value) : value), z.number().min(minimum).max(maximum))
    .nullable()
    .catch(null);

const lenientReport = z.object({
  summary: z
    .string()
    .catch('')
    .transform((text) => text.trim().slice(0, 8000)),
  confidence_score: score(0, 1),
  deliverables: texts(500, 50),
  recommendations: texts(1000, 50),
  next_steps: texts(1000, 50),
  files: texts(500, 200),
  agent_feedback: z
    .object({
      clarity_rating: score(1, 5),
      complexity_rating: score(1, 5),
      additional_questions: texts(1000, 20),
    })
    .catch({ clarity_rating: null, complexity_rating: null, additional_questions: [] }),
});

const lenient = (content: Record<string, unknown>): AttemptReport => lenientReport.parse(content);

const emptyReport = (summary: string): AttemptReport => attemptReport.parse({ summary: summary.slice(0, 8000) });

/** Lists are cut from their ends until the whole fits, the longest first; a summary is never cut below 2000. */
const fitted = (report: AttemptReport): AttemptReport => {
  const fit = structuredClone(report);
  const lists = [
    fit.files,
    fit.recommendations,
    fit.next_steps,
    fit.deliverables,
    fit.agent_feedback.additional_questions,
  ];
  const bytes = () => Buffer.byteLength(JSON.stringify(fit));
  while (bytes() > reportBytesMax && lists.some((list) => list.length > 0)) {
    lists.sort((one, other) => JSON.stringify(other).length - JSON.stringify(one).length)[0]?.pop();
  }
  while (bytes() > reportBytesMax && fit.summary.length > 2000) fit.summary = fit.summary.slice(0, -500);
  return fit;
};

/** The first paragraph of a document that is not a heading. */
const firstOf = (markdown: string | null): string =>
  (markdown ?? '')
    .split(/\n\s*\n/)
    .map((paragraph) => paragraph.replaceAll(/^#.*$/gm, '').trim())
    .find((paragraph) => paragraph !== '')
    ?.slice(0, 2000) ?? '';

const lastWordsOf = (output: string): string => output.trim().slice(-2000).trim();
