/** What a task leaves behind: its report, the logs of its attempts, and their evidence. */
import { evidenceQuery, taskEvidence, taskLogs } from '@nexus/shared/client/api';
import { fail } from '@nexus/shared/errors';
import { hubLocation, listEvidence, readEvidence, refs } from '@nexus/shared/git';
import { readBoard, readReport } from '@nexus/shared/ledger';
import { agentId, type EvidenceRef, type Subtask, subtaskId } from '@nexus/shared/messages/domain';
import { z } from 'zod';
import type { Api, Fleet } from '../fleet.ts';
import { refusal } from '../openapi.ts';
import { expiredSays, expiryOf, showEvidence } from '../show-evidence.ts';
import { knownStatus, ofTask } from './tasks.ts';

export const evidenceRoutes = (app: Api, fleet: Fleet): void => {
  app.get(
    '/api/tasks/:id/report',
    {
      config: { scope: 'read' },
      schema: {
        operationId: 'showReport',
        tags: ['tasks'],
        summary: 'What was asked, who did what, with which evidence',
        description: 'Markdown where `format=markdown` or the Accept header asks for it, else JSON.',
        params: ofTask,
        querystring: z.strictObject({ format: z.enum(['json', 'markdown']).optional() }),
        response: {
          200: {
            description: 'The report',
            content: {
              'application/json': { schema: z.unknown() },
              'text/markdown': { schema: z.string() },
            },
          },
          404: refusal(404),
        },
      },
    },
    async ({ params: { id }, query, headers }, reply) => {
      const report = await readReport(fleet.bus.store, fleet.bus.keys, id);
      if (report === null) {
        const status = await knownStatus(fleet, id);
        throw fail('REPORT_MISSING', { task: id, status: status === 'unread' ? 'accepted' : status });
      }
      const markdown = query.format === 'markdown' || (query.format === undefined && wantsMarkdown(headers.accept));
      reply.header('vary', 'accept').serializer(String);
      return markdown
        ? reply.type('text/markdown; charset=utf-8').send(report.markdown)
        : reply.type('application/json; charset=utf-8').send(JSON.stringify(report.json));
    },
  );

  app.get(
    '/api/tasks/:id/logs',
    {
      config: { scope: 'read' },
      schema: {
        operationId: 'showLogs',
        tags: ['tasks'],
        summary: 'What the attempts have left as evidence',
        description: 'Stored evidence, the newest part of each file. What runs right now tells through `/api/events`.',
        params: ofTask,
        querystring: z.strictObject({
          subtask: subtaskId.optional(),
          all: z
            .stringbool()
            .default(false)
            .meta({ description: 'true: every file of evidence, such as prompts and patches, not the logs alone.' }),
          bytes_max: z.coerce.number().int().min(1).max(1_000_000).default(20_000),
        }),
        response: { 200: taskLogs, 404: refusal(404) },
      },
    },
    ({ params, query }) => readLogs(fleet, params.id, query),
  );

  app.get(
    '/api/tasks/:id/evidence',
    {
      config: { scope: 'read' },
      schema: {
        operationId: 'showEvidence',
        tags: ['tasks'],
        summary: 'What each attempt and each gate has left: who, how, at what cost, and where its files lie',
        description: 'Read from the hub of the task. The files themselves are in `/api/tasks/{id}/logs?all=true`.',
        params: ofTask,
        querystring: evidenceQuery,
        response: { 200: taskEvidence, 404: refusal(404) },
      },
    },
    async ({ params: { id }, query }) => {
      const shown = await showEvidence(fleet, id, query);
      if (shown !== null) return shown;
      await knownStatus(fleet, id);
      if (query.subtask !== undefined) throw fail('SUBTASK_UNKNOWN', { task: id, subtask: query.subtask });
      return { task_id: id, attempts: [], truncated: false };
    },
  );
};

const wantsMarkdown = (accept = ''): boolean => /^text\/(markdown|plain)/.test(accept.trim());

/** So many files at most in one answer; of a task with more, name the subtask. */
const filesMax = 200;

type Asked = { subtask?: string | undefined; bytes_max: number; all: boolean };

const readLogs = async (fleet: Fleet, id: string, asked: Asked) => {
  const board = await readBoard(fleet.bus.store, fleet.bus.keys, id);
  if (board === null) await knownStatus(fleet, id);
  const every = [...(board?.subtasks.values() ?? [])];
  const subtasks = every.filter((subtask) => asked.subtask === undefined || subtask.id === asked.subtask);
  if (asked.subtask !== undefined && subtasks.length === 0) {
    throw fail('SUBTASK_UNKNOWN', { task: id, subtask: asked.subtask });
  }
  const expiredAt = await expiryOf(fleet, id);
  const logs = [];
  // One after the other: each file is a git process.
  const shown = new Set<string>();
  for (const subtask of subtasks) {
    const files = expiredAt === null ? await filesOf(fleet, id, subtask, asked.all) : namedOf(subtask);
    for (const evidence of files) {
      const by = attemptOf(id, subtask, evidence);
      const author = every.find((one) => one.id === by.subtask_id);
      // A new plan carries on what was left by the subtask that it stands for; that shows its own, while it is there.
      if (author !== undefined && author.id !== subtask.id) continue;
      if (shown.has(`${evidence.ref} ${evidence.path}`)) continue;
      if (logs.length === filesMax) return { task_id: id, logs };
      shown.add(`${evidence.ref} ${evidence.path}`);
      const agent_id =
        agentOf(author, by.attempt) ??
        (expiredAt === null ? await recordedAgent(fleet, id, by) : null) ??
        subtask.agent_id;
      const read = expiredAt === null ? await readEnd(fleet, id, evidence, asked.bytes_max) : expired(expiredAt);
      logs.push({ subtask_id: by.subtask_id, title: author?.title ?? by.subtask_id, agent_id, evidence, ...read });
    }
  }
  return { task_id: id, logs };
};

type AttemptName = { subtask_id: string; attempt: number | null };

/** Which attempt a file tells of, by its ref: the board says who has the subtask now, not who had it then. */
const attemptOf = (id: string, { id: own }: Subtask, { ref }: EvidenceRef): AttemptName => {
  const under = refs(id).evidence('');
  const name = ref.startsWith(under) ? ref.slice(under.length) : '';
  const found = [name, name.replace(/^gate-/, '')].map((one) => /^(.+)-(\d+)$/.exec(one));
  // A subtask may be called "gate-…" itself.
  const [, subtask_id = own, attempt] = found.find((one) => one?.[1] === own) ?? found[1] ?? [];
  return { subtask_id, attempt: attempt === undefined ? null : Number(attempt) };
};

/** Who made it, as the board remembers it; the history forgets the oldest of many. */
const agentOf = (subtask: Subtask | undefined, attempt: number | null): string | null => {
  if (subtask === undefined) return null;
  if (attempt === null) return subtask.agent_id;
  const line = subtask.history.find((one) => one.attempt === attempt);
  return line?.agent_id ?? (attempt === subtask.attempt ? subtask.agent_id : null);
};

/** Who made it, as its own record says. */
const recordedAgent = async (
  fleet: Fleet,
  id: string,
  { subtask_id, attempt }: AttemptName,
): Promise<string | null> => {
  try {
    const ref = refs(id).evidence(`${subtask_id}-${attempt}`);
    const text = await readEvidence({ hub: hubLocation(fleet.config, id), ref, path: 'attempt.json' });
    return z.object({ agent_id: agentId }).parse(JSON.parse(text ?? '')).agent_id;
  } catch {
    return null;
  }
};

const expired = (at: string) => ({
  text: null,
  truncated: false,
  says: expiredSays(at),
});

const namedOf = ({ evidence, checks }: Subtask): EvidenceRef[] => [
  ...evidence,
  ...checks.flatMap(({ log }) => (log === null ? [] : [log])),
];

/**
 * What each attempt left, and what the gate said to it, oldest first: what is a log, or named, or all. Of the commit
 * before a candidate only the latest checks are named; they are the same for many.
 */
const filesOf = async (fleet: Fleet, id: string, subtask: Subtask, all: boolean): Promise<EvidenceRef[]> => {
  const named = namedOf(subtask);
  const found = new Map<string, EvidenceRef>();
  const keep = (evidence: EvidenceRef) => found.set(`${evidence.ref} ${evidence.path}`, evidence);
  for (const ref of refsOf(id, subtask)) {
    // A hub that cannot be read is told for each named file, below.
    const paths = await listEvidence({ hub: hubLocation(fleet.config, id), ref }).catch(() => []);
    for (const path of paths) if (all || (path.endsWith('.log') && !path.includes('/before/'))) keep({ ref, path });
    for (const evidence of named) if (evidence.ref === ref) keep(evidence);
  }
  for (const evidence of named) keep(evidence);
  return [...found.values()];
};

/** Each ref of evidence, a gate's behind that of the attempt that it judged. */
const refsOf = (id: string, subtask: Subtask): Set<string> => {
  const gates = new Map<string, string>();
  for (const { attempt, outcome } of subtask.history) {
    if (!outcome.startsWith('gate_')) continue;
    const key = `${subtask.id}-${attempt}`;
    gates.set(refs(id).evidence(key), refs(id).evidence(`gate-${key}`));
  }
  const known = subtask.evidence.flatMap(({ ref }) => [ref, gates.get(ref)]);
  // No message tells of an attempt whose task ended while it ran; what it left bears its name.
  const last = subtask.attempt > 0 ? refs(id).evidence(`${subtask.id}-${subtask.attempt}`) : undefined;
  return new Set([...known, last, ...gates.values()].filter((ref) => ref !== undefined));
};

/** The end of a file of evidence. One that cannot be read says why, and the others are still shown. */
const readEnd = async (fleet: Fleet, id: string, { ref, path }: EvidenceRef, bytesMax: number) => {
  try {
    const text = await readEvidence({ hub: hubLocation(fleet.config, id), ref, path });
    if (text === null) return { text, truncated: false, says: `There is no ${path} at ${ref}.` };
    return { ...endOf(text, bytesMax), says: '' };
  } catch (error) {
    return { text: null, truncated: false, says: (error as Error).message };
  }
};

/** The last bytes of a text, from the beginning of a character. */
const endOf = (text: string, bytesMax: number): { text: string; truncated: boolean } => {
  const bytes = Buffer.from(text);
  let from = Math.max(0, bytes.length - bytesMax);
  while (((bytes[from] ?? 0) & 0xc0) === 0x80) from += 1;
  return { text: bytes.toString('utf8', from), truncated: from > 0 };
};
