/**
 * Money and tokens of an attempt, as the worker handles them: admitted before there is a workspace, reserved while its
 * agent works, booked when it ends.
 *
 *   spent for good (task, subtask, attempt)  the attempt fails with BUDGET_SPENT, its work kept; a person is asked
 *   spent for today, or reserved by others   put aside, uncounted; tried again every NEXUS_BUDGET_RECHECK
 *   its provider takes nothing more          put aside, uncounted, until the provider says; so is all of its account
 *   its provider is out of reach             put aside, uncounted; after NEXUS_PROVIDER_DOWN_MAX it fails
 *
 * Reserved under the claim, right after `begin` and before anything is spawned: a claim that is lost later takes its
 * reservations with it, and one that was lost before could not begin.
 */
import { type ErrorCode, isFailure } from '@nexus/shared/errors';
import { type AttemptSpend, brokenInWords, type Lane, type Report, type Spending } from '@nexus/shared/spend';
import type { Attempt, Later } from './attempt.ts';
import { type Finished, failedBefore } from './conclude.ts';
import type { AgentEvent, Parked, Payer, RunRequest, RunResult, Runtime, RuntimeContext } from './runtimes.ts';

/** What stands between an attempt and its runtime. */
export type Purse = {
  /** The runtime, with a budget and a gate in its requests, and an ear for what it uses. */
  runtime: Runtime;
  /** Gives back what is still reserved. */
  close(): Promise<void>;
};

/** Admits an attempt; or says how it has ended because it cannot begin now, or at all. */
export const openPurse = async (
  attempt: Attempt,
  runtime: Runtime,
  context: RuntimeContext,
): Promise<Purse | { ended: Finished | Later }> => {
  const { spending } = attempt.tools;
  if (spending === undefined) return { runtime, close: async () => undefined };
  const payer = (await runtime.payer?.(context, attempt.agent)) ?? null;
  try {
    return purseOf(attempt, spending, runtime, payer, await begin(attempt, spending, runtime, payer));
  } catch (thrown) {
    if (!isFailure(thrown, 'BUDGET_SPENT', 'PRICE_UNKNOWN', 'BUDGET_RESERVED', 'PROVIDER_LIMITED')) throw thrown;
    const { code, message, details } = thrown;
    const waits = waitOf(attempt, code, String(details.scope ?? ''), details.until);
    if (waits === null) return { ended: failedBefore(attempt, { code, says: message }, '') };
    const isBroken = details.why === brokenInWords;
    const given = isBroken ? givenUp(attempt, message) : null;
    if (given !== null) return { ended: failedBefore(attempt, given, '') };
    await waitFor(attempt, `${code}: ${message}`, isBroken);
    return { ended: { later: message, until: waits } };
  }
};

/** An attempt whose provider is out of reach for too long has failed; null: it is waited for. */
const givenUp = ({ record, tools }: Attempt, says: string): { code: ErrorCode; says: string } | null => {
  const waitedMs = tools.now() - (record.unreachableSince ?? tools.now());
  if (waitedMs <= tools.config.providerDownMax) return null;
  return { code: 'MODEL_UNREACHABLE', says: `${says} It has been so for ${Math.ceil(waitedMs / 60_000)} minutes.` };
};

/** Writes down what it waits for, beside what it had before: people look there. */
const waitFor = async ({ record, note, tools }: Attempt, waits: string, isBroken: boolean): Promise<void> => {
  note(`is put aside, uncounted: ${waits}`);
  const { commit = null, step = 'waits', spent_ms = 0, left = [], session = null } = record.before ?? {};
  const since = isBroken ? { unreachable_since: record.unreachableSince ?? tools.now() } : {};
  await record.save({ commit, step, spent_ms, left, session, waits: waits.slice(0, 500), ...since });
};

const begin = (
  { order, agent, request, tools }: Attempt,
  spending: Spending,
  { name: runtime }: Runtime,
  payer: Payer | null,
): Promise<AttemptSpend> =>
  spending.begin({
    place: { taskId: order.task_id, subtaskId: order.subtask_id, attempt: order.attempt },
    by: { agentId: agent.agent_id, role: order.role, runtime },
    limits: {
      task: { usd: request.budget?.usd ?? null, tokens: request.budget?.tokens ?? null },
      attempt: { usd: agent.limits?.usd ?? null, tokens: agent.limits?.tokens ?? null },
    },
    token: tools.claim.token,
    model: modelOf(payer),
    lane: laneOf(payer, spending),
    notional: payer?.notional ?? false,
    tells: payer?.tells,
    signal: tools.signal,
  });

/** Whose model a CLI takes without a wish: what it uses is priced so until it says itself. */
const modelByDefault: Readonly<Record<string, string>> = { anthropic: 'opus', bedrock: 'opus', vertex: 'opus' };

const modelOf = (payer: Payer | null): string | null =>
  payer === null ? null : (payer.model ?? modelByDefault[payer.provider] ?? null);

/** Who pays for a CLI is known before it runs; a runtime that makes its own calls names it with each. */
const laneOf = (payer: Payer | null, { prices }: Spending): Lane | null => {
  if (payer === null) return null;
  const { provider, account } = payer;
  // An alias and the model that it stands for share what the provider allows.
  return { kind: 'process', provider, account, model: prices.nameOf(modelOf(payer) ?? 'default') };
};

const purseOf = (
  attempt: Attempt,
  spending: Spending,
  runtime: Runtime,
  payer: Payer | null,
  spend: AttemptSpend,
): Purse => {
  const { usd, tokens } = spend.left;
  const bounded = usd !== null || tokens !== null;
  const asksItself = runtime.capabilities.cost && runtime.payer === undefined;
  const hear = (event: AgentEvent): void => {
    if (asksItself) return;
    if (event.kind === 'usage') spend.heard(event.usage, event.model);
    else if (event.kind === 'retry' && isRefusal(event.status)) spend.slowed(event.delay_ms);
  };
  const bound = (request: RunRequest): RunRequest => ({
    ...request,
    signal: AbortSignal.any([request.signal, spend.signal]),
    // A subscription's dollars are nobody's: what bounds it is tokens, turns and time.
    budget: bounded ? { usd: payer?.notional ? null : usd, tokens } : null,
    ...(asksItself ? { spend: spend.gate } : {}),
    onEvent: (event) => {
      hear(event);
      request.onEvent?.(event);
    },
  });
  const settled = async (result: RunResult): Promise<RunResult> => {
    // What went through the gate is booked already, call by call.
    const { usage = null, model = null, notional = false } = result;
    const told = usage !== null || result.cost.usd !== null;
    if (!asksItself) {
      const landed = landedAs(result, payer, attempt.tools.now());
      const { usdLeast = null } = result;
      await spend.settle({ usd: result.cost.usd, usdLeast, usage, model, notional, landed });
    }
    if (!asksItself && !told && !runtime.capabilities.cost && bounded) {
      attempt.note(`its runtime "${runtime.name}" told nothing of its use: no budget bounds it, only its time box`);
    }
    return judged(attempt, spend, { ...result, cost: (await bookedFor(attempt, spending)) ?? result.cost });
  };
  return {
    runtime: {
      ...runtime,
      run: async (request) => settled(await runtime.run(bound(request))),
      resume: async (session, request) => settled(await runtime.resume(session, bound(request))),
    },
    close: spend.end,
  };
};

/** What the whole attempt has cost so far, by the ledger: runs that were put aside or cut off told nobody. */
const bookedFor = async ({ order }: Attempt, { book }: Spending): Promise<RunResult['cost'] | null> => {
  const own = (await book.linesOf(order.task_id)).filter(
    (line) => line.subtask_id === order.subtask_id && line.attempt === order.attempt,
  );
  if (own.length === 0) return null;
  const priced = own.filter(({ calls, unpriced_calls }) => unpriced_calls < calls);
  const usd = priced.reduce((sum, line) => sum + line.usd + line.notional_usd, 0);
  return {
    usd: priced.length === 0 ? null : Math.max(0, Math.round(usd * 1e6) / 1e6),
    tokens: Math.max(
      0,
      own.reduce((sum, line) => sum + line.tokens, 0),
    ),
  };
};

/** Refusals that say: too much at a time. */
const isRefusal = (status: number | null): boolean => status === 429 || status === 529;

/**
 * What the end of a run says of its provider. A window that is used up is so for all that share the account: none of
 * them begins before it opens.
 */
const landedAs = ({ parked, ok, turns = 0 }: RunResult, payer: Payer | null, now: number): Report => {
  if (parked?.code === 'MODEL_UNREACHABLE') return { is: 'failed' };
  if (parked?.code !== 'MODEL_LIMITED') return { is: ok || turns > 0 ? 'well' : 'unused' };
  const retryAfterMs = parked.until === null ? null : Math.max(0, parked.until - now);
  return { is: 'limited', retryAfterMs, wholeAccount: payer?.notional ?? false };
};

/** A provider out of reach is waited for, for so long; what it has answered meanwhile begins that anew. */
const reached = (attempt: Attempt, result: RunResult, parked: Parked): RunResult => {
  const { code, says } = parked;
  if (code !== 'MODEL_UNREACHABLE' && !says.includes(brokenInWords)) return result;
  const answered = (result.turns ?? 0) > 0;
  const given = answered ? null : givenUp(attempt, says);
  if (given !== null) return { ...result, ...given, ok: false, parked: null };
  const now = attempt.tools.now();
  const unreachableSince = answered ? now : (attempt.record.unreachableSince ?? now);
  return { ...result, parked: { ...parked, unreachableSince } };
};

/** A run that met a limit: failed for a person to decide, or put aside; all else as it came. */
const judged = (attempt: Attempt, spend: AttemptSpend, result: RunResult): RunResult => {
  const ended = spend.signal.aborted && isFailure(spend.signal.reason) ? spend.signal.reason : null;
  const isOurs = ended !== null && !result.ok && !attempt.tools.signal.aborted;
  // Known once something was used, and that may be at its end: its budget in USD cannot be kept.
  if (ended?.code === 'PRICE_UNKNOWN' && (result.ok || isOurs)) {
    attempt.note(ended.message);
    return { ...result, ok: false, code: ended.code, says: ended.message };
  }
  const { parked: aside } = result;
  const isBudget = aside?.code === 'BUDGET_SPENT' || aside?.code === 'BUDGET_RESERVED';
  if (!isOurs && aside && !isBudget) return reached(attempt, result, aside);
  const code = isOurs ? ended.code : result.code;
  if (code !== 'BUDGET_SPENT' && code !== 'BUDGET_RESERVED') return result;
  const says = isOurs ? ended.message : result.says;
  const scope = spend.refused()?.scope === 'day' ? dayScope : '';
  const until = waitOf(attempt, code, scope, undefined);
  const parked: Parked | null = until === null ? null : { until, code, says, account: 'the budget' };
  return { ...result, ok: false, code, says, parked };
};

const dayScope = 'the fleet for today';

/** Until when an attempt that met a limit waits; null: for a person. */
const waitOf = (
  { tools }: Attempt,
  code: ErrorCode,
  scope: string,
  until: string | number | undefined,
): number | null => {
  const again = tools.now() + tools.config.budgetRecheck;
  if (code === 'PROVIDER_LIMITED')
    return until === undefined ? again : Math.max(tools.now() + 1000, Date.parse(String(until)));
  return code === 'BUDGET_RESERVED' || (code === 'BUDGET_SPENT' && scope === dayScope) ? again : null;
};
