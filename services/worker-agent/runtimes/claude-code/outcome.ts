/** How a run of the CLI ended, as a result of ours: by its last result and what it saw, hardly by its exit code. */
import { type ErrorCode, fail } from '@nexus/shared/errors';
import { resetIn } from '@nexus/shared/model';
import { budgetOfRun, type Parked, type RunRequest, type RunResult } from '../../runtimes.ts';
import { usageOfAll } from './events.ts';
import { type Login, usualAddress } from './logins.ts';
import { windowOf } from './models.ts';
import { type Seen, usageOf } from './reader.ts';

type End = { code: ErrorCode | null; says: string; parked?: Parked };

export type How = {
  request: RunRequest;
  login: Login;
  model: string | null;
  turnsMax: number;
  parkMs: number;
  usdBefore: number;
  /** Tokens that the CLI counts of the conversation before, and nobody has booked. */
  missed: Seen['usage'];
  nowMs: number;
  /** Where the CLI was told to ask, maybe at an address of ours, which tells nobody anything; null: nowhere else. */
  asks: string | null;
};

/** `ran` is what became of the process; `own` is why we ended it ourselves, where we did. */
export const resultOf = (
  ran: RunResult,
  seen: Seen,
  own: { code: ErrorCode; message: string } | null,
  how: How,
): RunResult => {
  const end = endOf(ran, seen, own, how);
  const { result } = seen;
  const usage = added(usageIn(seen), how.missed);
  const usdTotal = result?.total_cost_usd ?? null;
  return {
    ...ran,
    ok: end.code === null,
    code: end.code,
    says: end.says,
    sessionId: seen.session,
    cost: { usd: usdTotal === null ? null : Math.max(0, usdTotal - how.usdBefore), tokens: total(usage) },
    usage,
    usdTotal,
    usageTotal: result?.modelUsage === undefined ? null : usageOfAll(result.modelUsage),
    model: seen.model ?? how.model,
    login: how.login.kind,
    notional: how.login.kind === 'subscription',
    toolCalls: seen.toolCalls,
    turns: seen.turns,
    context: { used: seen.context, window: windowIn(seen) },
    touched: { read: [...seen.read], written: [...seen.written], commands: seen.commands },
    parked: end.parked ?? null,
    ...(result?.structured_output === undefined ? {} : { report: result.structured_output }),
  };
};

/** As the CLI tells it at its end; without the answer that spent its budget, so that what was seen counts then. */
const usageIn = ({ result, usage }: Seen): Seen['usage'] => {
  const told = result?.usage ? usageOf(result.usage) : null;
  const wentIn = (one: Seen['usage']) => total(one) - one.output_tokens;
  return told !== null && wentIn(told) >= wentIn(usage) ? told : usage;
};

export const added = (one: Seen['usage'], two: Seen['usage']): Seen['usage'] => ({
  input_tokens: one.input_tokens + two.input_tokens,
  output_tokens: one.output_tokens + two.output_tokens,
  cache_read_tokens: one.cache_read_tokens + two.cache_read_tokens,
  cache_write_tokens: one.cache_write_tokens + two.cache_write_tokens,
});

export const total = (usage: Seen['usage']): number => Object.values(usage).reduce((sum, count) => sum + count, 0);

/** The context's size as the CLI told it, else as it is known of the model. */
export const windowIn = ({ result, model }: Seen): number =>
  (model === null ? undefined : result?.modelUsage?.[model]?.contextWindow) ?? windowOf(model);

const endOf = (ran: RunResult, seen: Seen, own: { code: ErrorCode; message: string } | null, how: How): End => {
  if (own !== null) return { code: own.code, says: own.message };
  if (ran.code !== null && ran.code !== 'AGENT_FAILED') return { code: ran.code, says: ran.says };
  const { result } = seen;
  if (result === null) {
    const said = seen.stderr.trim() || 'it told no result';
    return { code: 'AGENT_FAILED', says: `${fail('AGENT_FAILED', { exit: ran.exitCode ?? 'none' }).message} ${said}` };
  }
  if (result.is_error !== true) return { code: null, says: deniedIn(seen) };
  if (result.subtype === 'error_max_turns') return told(fail('AGENT_TURNS_SPENT', { turns: how.turnsMax }));
  if (result.subtype === 'error_max_budget_usd') {
    // The CLI holds to it what this process used, and tells what the whole conversation did.
    const used = round(Math.max(0, (result.total_cost_usd ?? 0) - how.usdBefore));
    return told(budgetSpent(how.request, 'USD', used, how.request.budget?.usd ?? 0));
  }
  if (result.stop_reason === 'refusal') {
    return { code: 'AGENT_FAILED', says: `The model declined to answer: ${saidIn(seen)}` };
  }
  return apiEnd(ran, seen, how);
};

/** A CLI tells what an answer took only with the answer, so the wall may be passed by one. */
export const budgetSpent = (request: RunRequest, what: 'USD' | 'tokens', used: number, max: number) =>
  fail('BUDGET_SPENT', { scope: budgetOfRun(request), what, used, max, wanted: 'some' });

const round = (usd: number): number => Math.round(usd * 10_000) / 10_000;

/** The API said no, or nothing. What passes by itself is waited for; what a person has to mend is said once. */
const apiEnd = (ran: RunResult, seen: Seen, how: How): End => {
  const status = seen.result?.api_error_status ?? seen.apiError?.status ?? null;
  const error = seen.apiError?.error ?? '';
  const { login, model } = how;
  const says = how.asks === null ? saidIn(seen) : saidIn(seen).replaceAll(hostIn(how.asks), hostOf(login));
  if (isOutOfCredit(status, error, says)) return told(creditSpent(login, says));
  const isLimited = status === 429 || error === 'rate_limit' || isUsedUp.test(says);
  if (seen.limit?.status === 'rejected' || isLimited) return parked('MODEL_LIMITED', seen, how, says);
  if (status === 401 || status === 403 || error === 'authentication_failed' || /not logged in/i.test(says)) {
    return told(loginRefused(login, says));
  }
  if (status === 404 || error === 'model_not_found') {
    const named = seen.model ?? model ?? 'by default';
    return told(fail('MODEL_UNKNOWN', { model: named, where: 'Claude Code', mend: 'correct its name' }));
  }
  const isTheirs = status === null ? error !== '' && error !== 'invalid_request' : status >= 500;
  if (isTheirs) return parked('MODEL_UNREACHABLE', seen, how, says);
  return { code: 'AGENT_FAILED', says: `${fail('AGENT_FAILED', { exit: ran.exitCode ?? 'none' }).message} ${says}` };
};

/** An account that has to be topped up: a refusal of the request, by its status, and none by its words. */
export const isOutOfCredit = (status: number | null, error: string, says: string): boolean =>
  status === 402 || error === 'billing_error' || /credit balance is too low/i.test(says);

export const creditSpent = (login: Login, message: string) => fail('CREDIT_SPENT', { where: whereOf(login), message });

const hostIn = (address: string): string => new URL(address).host;

/** Whom the calls are meant for, whatever passes them on. */
const hostOf = ({ kind, door, env }: Login): string => {
  const usual = kind === 'vertex' ? 'https://vertex' : usualAddress;
  return hostIn(door?.account.baseUrl ?? env.ANTHROPIC_BASE_URL ?? usual);
};

const whereOf = (login: Login): string => `${hostOf(login)} (${login.says})`;

export const loginRefused = (login: Login, says: string) => fail('LOGIN_REFUSED', { login: login.says, message: says });

const parked = (
  code: 'MODEL_LIMITED' | 'MODEL_UNREACHABLE',
  seen: Seen,
  { login, parkMs, nowMs }: How,
  message: string,
): End => {
  const opens = opensAt(code, seen, message, nowMs);
  // What should be open by now and is not opens nobody knows when.
  const until = opens !== null && opens > nowMs ? Math.max(opens, nowMs + 1000) : nowMs + parkMs;
  const { message: says } = fail(code, { where: whereOf(login), message });
  return { code, says, parked: { until, code, says, account: login.account } };
};

const isUsedUp = /\bhit your\b.*\blimit\b|\b(?:usage|spend) limit reached\b/i;

/** When a used-up window opens: told as a number, else in words; null where neither can be read. */
const opensAt = (code: ErrorCode, { limit }: Seen, message: string, nowMs: number): number | null => {
  if (limit?.status === 'rejected' && limit.resetsAt !== undefined) return limit.resetsAt * 1000;
  return code === 'MODEL_LIMITED' ? resetIn(message, nowMs) : null;
};

const saidIn = ({ result, apiError }: Seen): string =>
  (apiError?.says || result?.result || result?.errors?.join('; ') || 'nothing').slice(0, 1000);

/** A run that was denied something goes well all the same; people should know. */
const deniedIn = ({ result }: Seen): string => {
  const tools = [...new Set((result?.permission_denials ?? []).map(({ tool_name }) => tool_name ?? '?'))];
  return tools.length === 0 ? '' : `It was not allowed to use: ${tools.join(', ')}.`;
};

const told = (error: { code: ErrorCode; message: string }): End => ({ code: error.code, says: error.message });
