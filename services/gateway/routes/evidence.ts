/** What a task leaves behind: its report, and the logs of its attempts. */
import { taskLogs } from '@nexus/shared/client/api';
import { fail } from '@nexus/shared/errors';
import { hubLocation, readEvidence } from '@nexus/shared/git';
import { readBoard, readReport } from '@nexus/shared/ledger';
import { type EvidenceRef, type Subtask, subtaskId } from '@nexus/shared/messages/domain';
import { z } from 'zod';
import type { Api, Fleet } from '../fleet.ts';
import { refusal } from '../openapi.ts';
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
          bytes_max: z.coerce.number().int().min(1).max(1_000_000).default(20_000),
        }),
        response: { 200: taskLogs, 404: refusal(404) },
      },
    },
    ({ params, query }) => readLogs(fleet, params.id, query.subtask, query.bytes_max),
  );
};

const wantsMarkdown = (accept = ''): boolean => /^text\/(markdown|plain)/.test(accept.trim());

/** So many files at most in one answer; of a task with more, name the subtask. */
const filesMax = 200;

const readLogs = async (fleet: Fleet, id: string, only: string | undefined, bytesMax: number) => {
  const board = await readBoard(fleet.bus.store, fleet.bus.keys, id);
  if (board === null) await knownStatus(fleet, id);
  const subtasks = [...(board?.subtasks.values() ?? [])].filter((subtask) => only === undefined || subtask.id === only);
  if (only !== undefined && subtasks.length === 0) throw fail('SUBTASK_UNKNOWN', { task: id, subtask: only });
  const wanted = subtasks.flatMap((subtask) => evidenceOf(subtask).map((evidence) => ({ subtask, evidence })));
  const logs = [];
  // One after the other: each is a git process.
  for (const { subtask, evidence } of wanted.slice(-filesMax)) {
    const { id: subtask_id, title, agent_id } = subtask;
    logs.push({ subtask_id, title, agent_id, evidence, ...(await readEnd(fleet, id, evidence, bytesMax)) });
  }
  return { task_id: id, logs };
};

/** What its attempts left, then the logs of its checks. */
const evidenceOf = (subtask: Subtask): EvidenceRef[] => {
  const all = [...subtask.evidence, ...subtask.checks.flatMap(({ log }) => (log === null ? [] : [log]))];
  return [...new Map(all.map((evidence) => [`${evidence.ref} ${evidence.path}`, evidence])).values()];
};

/** The end of a file of evidence. One that cannot be read says why, and the others are still shown. */
const readEnd = async (fleet: Fleet, id: string, { ref, path }: EvidenceRef, bytesMax: number) => {
  try {
    const text = await readEvidence({ hub: hubLocation(fleet.config, id), ref, path });
    if (text === null) return { text, truncated: false, says: `There is no ${path} at ${ref}.` };
    return { text: text.slice(-bytesMax), truncated: text.length > bytesMax, says: '' };
  } catch (error) {
    return { text: null, truncated: false, says: (error as Error).message };
  }
};
