/** What attempts and gates leave behind, as the HTTP API shows it: their files, and what their records say. */
import { agentId, check, commitId, evidenceRef, subtaskId, taskId } from '@nexus/shared/messages/domain';
import { z } from 'zod';

export const taskLogs = z
  .object({
    task_id: taskId,
    logs: z.array(
      z.object({
        subtask_id: subtaskId,
        title: z.string(),
        agent_id: agentId,
        evidence: evidenceRef,
        text: z.string().nullable().meta({ description: 'The end of the file; null where it cannot be read.' }),
        truncated: z.boolean(),
        says: z.string().meta({ description: 'Why there is no text; empty if there is.' }),
      }),
    ),
  })
  .meta({ id: 'TaskLogs' });

const tokenCount = z.int().nonnegative();
const texts = z.array(z.string());

/** What stands in `attempt.json`, a field each; null is what nobody told. */
export const attemptRecord = z.object({
  agent_id: agentId.nullable(),
  runtime: z.string().nullable(),
  instance_id: z.string().nullable(),
  outcome: z.string().nullable(),
  code: z.string().nullable(),
  says: z.string().nullable(),
  exit_code: z.int().nullable(),
  signal: z.string().nullable(),
  session_id: z.string().nullable(),
  model: z.string().nullable(),
  login: z.string().nullable().meta({ description: 'What paid: subscription, api_key, bedrock, vertex or none.' }),
  usage: z
    .object({
      input_tokens: tokenCount,
      output_tokens: tokenCount,
      cache_read_tokens: tokenCount,
      cache_write_tokens: tokenCount,
    })
    .nullable(),
  cost: z.object({ usd: z.number().nullable(), tokens: z.number().nullable() }).nullable(),
  cost_is_notional: z
    .boolean()
    .nullable()
    .meta({ description: 'True: a subscription paid, and nobody is charged it.' }),
  turns: z.int().nullable(),
  tool_calls: z.int().nullable(),
  files_read: texts.nullable(),
  files_written: texts.nullable(),
  commands: texts.nullable().meta({ description: 'As they were run.' }),
  files: texts.nullable().meta({ description: 'What its commit changes.' }),
  commit: commitId.nullable(),
  wip: commitId.nullable().meta({ description: 'The saved work of an attempt without a commit.' }),
  began_at: z.string().nullable(),
  ended_at: z.string().nullable(),
  notes: texts.nullable(),
});

/** What stands in `verdict.json`, a field each. */
export const gateRecord = z.object({
  verdict: z.string().nullable(),
  says: z.string().nullable(),
  base: commitId.nullable(),
  tested_commit: commitId.nullable(),
  alarms: texts.nullable(),
  checks: z.array(check.omit({ log: true, log_tail: true })).nullable(),
});

const kept = z.array(evidenceRef).meta({ description: 'Every file that was left, in the order of their paths.' });

export const evidenceQuery = z.strictObject({
  subtask: subtaskId.optional(),
  attempt: z.coerce.number().int().min(1).optional(),
});

export const taskEvidence = z
  .object({
    task_id: taskId,
    attempts: z.array(
      z.object({
        subtask_id: subtaskId,
        title: z.string(),
        attempt: z.int().positive(),
        says: z.string().meta({ description: 'Why there is no record; empty if there is.' }),
        record: attemptRecord.nullable(),
        prompt: evidenceRef.nullable(),
        transcript: evidenceRef.nullable(),
        log: evidenceRef.nullable(),
        report: evidenceRef.nullable(),
        kept,
        gates: z
          .array(z.object({ record: gateRecord.nullable(), kept }))
          .meta({ description: 'What the gate said to its candidate, an entry for each time that it looked.' }),
      }),
    ),
    truncated: z.boolean().meta({ description: 'There are more attempts; name the subtask.' }),
  })
  .meta({ id: 'TaskEvidence' });

export type TaskLogs = z.infer<typeof taskLogs>;
export type AttemptRecord = z.infer<typeof attemptRecord>;
export type GateRecord = z.infer<typeof gateRecord>;
export type TaskEvidence = z.infer<typeof taskEvidence>;
