import { probeSandbox } from '@nexus/shared/process';
import { openFence } from '@nexus/shared/project';
import { expect, test } from 'vitest';
import { base, commit, home, submitted, toolsFor, verdictOf } from '../../test/tools/gate.ts';
import { leaveOut } from '../../test/tools/machine.ts';
import { onCandidateSubmitted } from './on-candidate-submitted.ts';

const { usable, says: whatSandbox } = await probeSandbox();
leaveOut('the sandbox', usable ? null : whatSandbox);

test.runIf(usable)(
  'a check that fails since its sandbox let it write nothing there says which setting names more',
  async () => {
    const settings = { home, hubs: undefined, sandbox: 'on' as const, sandboxWrite: [], sandboxHide: [] };
    const { places } = await openFence(settings, { ground: 'gates' });
    const checks = [
      { name: 'outside', command: 'touch ../elsewhere' },
      { name: 'inside', command: 'touch here && touch /tmp/there && ls ../.. && exit 3' },
    ];
    const message = submitted({ commit: await commit({ 'a.txt': 'a' }), integration: base, checks });
    const verdict = verdictOf(
      await onCandidateSubmitted(message, { ...toolsFor(), sandbox: places && { ...places, network: true } }),
    );
    expect(verdict.checks).toMatchObject([
      {
        name: 'outside',
        state: 'failed',
        why: expect.stringMatching(/where its sandbox lets nothing write; NEXUS_SANDBOX_WRITE/),
      },
      { name: 'inside', state: 'failed', exit_code: 3, why: 'It ended with exit code 3.' },
    ]);
  },
);
