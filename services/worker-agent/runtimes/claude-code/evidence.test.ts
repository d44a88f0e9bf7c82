/** What is kept of an attempt of Claude Code: the prompt that its model was sent. */
import type { Message } from '@nexus/shared/bus';
import { readEvidence, refs } from '@nexus/shared/git';
import { afterAll, expect, onTestFinished, test } from 'vitest';
import { claudeProgram } from '../../../../test/tools/claude.ts';
import { openMessagesApi, use } from '../../../../test/tools/messages-api/messages-api.ts';
import { closeTemplates, openRig } from '../../../../test/tools/worker.ts';
import { onSubtaskDispatched } from '../../on-subtask-dispatched.ts';

afterAll(closeTemplates);

test('the prompt that is kept is the one that was sent, with what the repository says to agents', async () => {
  const rig = await openRig({ 'CLAUDE.md': 'Use tabs.\n', 'AGENTS.md': 'Write to @somebody.\n' });
  const api = await openMessagesApi();
  onTestFinished(async () => {
    await api.close();
    rig.close();
  });
  const { tools } = rig.tools({
    ...{ NEXUS_RUNTIME: 'claude-code', NEXUS_CLAUDE_PROGRAM: claudeProgram(), NEXUS_CLAUDE_LOGIN: 'api_key' },
    ...{ ANTHROPIC_API_KEY: 'sk-ant-of-nobody-0123456789' },
    ANTHROPIC_BASE_URL: api.script('run', ({ turn }) =>
      turn === 0
        ? use('Write', { file_path: 'work.txt', content: 'work\n' })
        : use('StructuredOutput', { summary: 'It is done.' }),
    ),
  });
  await onSubtaskDispatched({ payload: rig.order() } as Message<'subtask.dispatched'>, tools);
  const ref = refs(rig.order().task_id).evidence('storage-1');
  const kept = (await readEvidence({ hub: rig.hub, ref, path: 'prompt.md' })) ?? '';
  expect(kept).toMatch(/Write the storage\.[\s\S]*What the repository says to agents[\s\S]*Use tabs\./);
  expect(api.asks('run')[0]?.prompt).toContain(kept.trim());
}, 60_000);
