/**
 * The evidence of an attempt, committed to `refs/nexus/<task>/evidence/<subtask>-<attempt>`: it travels with the code.
 *
 *   prompt.md      the prompt as it was sent          output.log    what the agent printed, beginning and end
 *   report.md      its document, else its summary     report.json   its report as it was read
 *   setup.log      what set-up printed                attempt.json  who, how, when, how it ended, notes
 *   transcript.jsonl  the conversation as its runtime keeps it, where it does
 *   changes.diff   changes of a subtask that only reports, which are not taken over
 *
 * Everything is redacted here, whatever was redacted before.
 */
import { commitEvidence, patchBetween, refs } from '@nexus/shared/git';
import type { EvidenceRef } from '@nexus/shared/messages/domain';
import type { Redactor } from '@nexus/shared/telemetry';
import type { Workspace } from './workspace.ts';

const fileBytesMax = 4_000_000;

/** Commits the files that have something in them, and returns where the report lies. */
export const keepEvidence = async (options: {
  hub: string;
  ids: { task_id: string; subtask_id: string; attempt: number };
  files: Record<string, string>;
  redactor: Redactor;
}): Promise<EvidenceRef> => {
  const { hub, ids, redactor } = options;
  const files = Object.fromEntries(
    Object.entries(options.files)
      .filter(([, text]) => text !== '')
      .map(([name, text]) => [name, redactor.text(text.slice(0, fileBytesMax))]),
  );
  const ref = refs(ids.task_id).evidence(`${ids.subtask_id}-${ids.attempt}`);
  const message = `Evidence of ${ids.subtask_id}, attempt ${ids.attempt}`;
  return { ref: await commitEvidence({ hub, ref, files, message }), path: 'report.md' };
};

/** The changes between two commits of a workspace as a patch, up to the size of a file of evidence. */
export const patchOf = ({ folder }: Workspace, from: string, to: string): Promise<string> =>
  patchBetween(folder, from, to, { bytesMax: fileBytesMax });
