/** Budgets, governor and ledger on a test's fabric, and attempts that spend as a test says. */
import { loadConfig } from '@nexus/shared/config';
import { type AttemptOptions, openSpending, type Spending, spendConfig } from '@nexus/shared/spend';
import { openMeters, silentLog } from '@nexus/shared/telemetry';
import type { TestFabric } from './redis.ts';

export type Rig = Spending & {
  /** The tokens of owners that are gone. */
  gone: Set<string>;
  events: { event: string; text?: string | undefined }[];
  /** What of an attempt is not said is as small as can be. */
  attempt(over?: Partial<AttemptOptions>): AttemptOptions;
};

let attempts = 0;

/** Opens one process's share of it. Without `claims`, every owner lives that a test has not put among `gone`. */
export const openRig = async (
  fabric: TestFabric,
  settings: Record<string, string> = {},
  options: { now?: () => number; claims?: boolean } = {},
): Promise<Rig> => {
  const bus = await fabric.open('worker-agent', { observer: true });
  const gone = new Set<string>();
  const events: Rig['events'] = [];
  const spending = openSpending({
    bus: {
      side: bus.side,
      keys: bus.keys,
      isClaimed: options.claims ? bus.isClaimed : async (token) => !gone.has(token),
      tell: (event) => void events.push(event),
    },
    config: loadConfig(spendConfig, settings),
    log: silentLog(),
    meters: openMeters('worker-agent'),
    ...(options.now ? { now: options.now } : {}),
  });
  const attempt: Rig['attempt'] = (over = {}) => {
    attempts += 1;
    return {
      place: { taskId: 'a-task', subtaskId: 'build', attempt: attempts },
      by: { agentId: 'builder', role: 'builder', runtime: 'openai' },
      limits: { task: { usd: null, tokens: null }, attempt: { usd: null, tokens: null } },
      token: `worker-agent-test-0001.1-${attempts}.1`,
      model: 'gpt-5-mini',
      lane: null,
      signal: new AbortController().signal,
      ...over,
    };
  };
  return { ...spending, gone, events, attempt };
};

export const usage = (input: number, output = 0) => ({
  input_tokens: input,
  output_tokens: output,
  cache_read_tokens: 0,
  cache_write_tokens: 0,
});

export const taskLimit = (usd: number | null, tokens: number | null = null) => ({
  task: { usd, tokens },
  attempt: { usd: null, tokens: null },
});
