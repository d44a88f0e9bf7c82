/** Eight processes of the real Claude Code CLI against a provider that takes fewer calls at a time than they are. */
import type { Outcome } from '@nexus/shared/bus';
import { afterAll, afterEach, beforeEach, expect, onTestFinished, test } from 'vitest';
import type { Order } from '../../../services/worker-agent/attempt.ts';
import { claudeProgram } from '../../tools/claude.ts';
import { openMessagesApi, refuse, type Script, use } from '../../tools/messages-api/messages-api.ts';
import { finishedOf, openPaidWorker } from '../../tools/paid-worker.ts';
import { closeTemplates, openRig, type Rig, taskId } from '../../tools/worker.ts';

let rig: Rig;
beforeEach(async () => {
  rig = await openRig();
});
afterEach(() => rig.close());
afterAll(closeTemplates);

const agents = 8;
const callsEach = 6;
const allows = { count: 6, everyMs: 5000 };

/** Takes so many calls in each window, and tells whoever comes then how long it lasts; all else is `script`. */
const limited = (script: Script) => {
  const taken: number[] = [];
  /** When an agent made its last call: from then on not all of them have work. */
  const ended: number[] = [];
  let [began, count, refused] = [performance.now(), 0, 0];
  const answer: Script = (ask) => {
    const now = performance.now();
    if (now - began >= allows.everyMs) [began, count] = [now, 0];
    if (count >= allows.count) {
      refused += 1;
      const leftMs = began + allows.everyMs - now;
      const headers = { 'retry-after': String(leftMs / 1000), 'retry-after-ms': String(Math.ceil(leftMs)) };
      return refuse(429, 'rate_limit_error', 'This is enough for now.', headers);
    }
    count += 1;
    taken.push(now);
    if (ask.turn >= callsEach - 1) ended.push(now);
    return script(ask);
  };
  return { answer, taken, ended, refused: () => refused };
};

test('eight processes fail no attempt for a provider’s limit, and reach 90 % of what it allows', async () => {
  const { answer, taken, ended, refused } = limited(({ turn }) =>
    turn < callsEach - 1
      ? use('Read', { file_path: 'README.md' })
      : use('StructuredOutput', { summary: 'It is done.' }),
  );
  const api = await openMessagesApi();
  onTestFinished(() => api.close());
  const worker = await openPaidWorker(rig, {
    ...{ NEXUS_RUNTIME: 'claude-code', NEXUS_CLAUDE_PROGRAM: claudeProgram(), NEXUS_CLAUDE_LOGIN: 'api_key' },
    ...{ ANTHROPIC_API_KEY: 'sk-ant-of-nobody-0123456789', ANTHROPIC_BASE_URL: api.script('eight', answer) },
    ...{ NEXUS_CLAUDE_PARK: '1s' },
  });
  const orders = Array.from({ length: agents }, (_, at) => rig.order({ subtask_id: `s-${at}`, kind: 'report' }));
  rig.setBoard(...orders);
  /** Delivered again when it was put aside, as the fabric does. */
  const work = async (order: Order): Promise<Outcome> => {
    for (;;) {
      const { outcome } = await worker.handle(order);
      if (outcome.is !== 'postpone') return outcome;
      await new Promise((resolve) => setTimeout(resolve, Math.max(0, outcome.untilMs - Date.now())));
    }
  };
  const finished = (await Promise.all(orders.map(work))).map(finishedOf);
  expect(finished.filter(({ outcome }) => outcome !== 'finished').map(({ code, says }) => `${code}: ${says}`)).toEqual(
    [],
  );
  expect(finished.map(({ attempt }) => attempt)).toEqual(orders.map(() => 1));
  expect(refused()).toBeGreaterThan(0);
  // While there is work for more than it takes. Until a window began, it would have taken all that came before.
  const busy = taken.filter((at) => at <= (ended[agents - allows.count] ?? 0));
  const windows = Math.floor((busy.length - 1) / allows.count);
  expect(windows).toBeGreaterThanOrEqual(3);
  const share =
    (windows * allows.everyMs) / ((busy[windows * allows.count] ?? Number.POSITIVE_INFINITY) - (busy[0] ?? 0));
  expect(share).toBeGreaterThanOrEqual(0.9);
  const lines = await worker.book.linesOf(taskId);
  expect(lines.reduce((sum, { calls }) => sum + calls, 0)).toBe(taken.length);
}, 120_000);
