/**
 * An agent as a loop: the model is asked, does something by its tools, is told what came of it, and is asked again.
 *
 *     asking ─ calls ──→ doing ──→ asking          finish was called ──→ finished
 *        ├─ only words → reminded once of `finish`, then taken for its report
 *        ├─ cut off ───→ told so, asked again, at most three times in a row
 *        ├─ declined ──→ asked once more what it can do
 *        └─ abort, time, output, turns, budget, a failure that stays ──→ ended, with a code
 *
 * It runs in the worker's own process: so the key stays here, each call is reserved and settled without a detour, an
 * abort needs no signal to anybody, and an agent costs no process. What takes time or may hang (commands, searches)
 * is a process of its own, under the leash; so a loop never holds up the worker, and nothing outlives it.
 */
import { type ErrorCode, fail, isFailure, toAppError } from '@nexus/shared/errors';
import { CallFailed, type Chat, type ChatAnswer, callModel, type Usage } from '@nexus/shared/model';
import { noUsage } from '@nexus/shared/spend';
import { budgetOfRun, codeOfAbort, type RunRequest, type RunResult } from '../runtimes.ts';
import { type Conversation, openConversation } from './conversation.ts';
import type { Finish } from './finish.ts';
import { doCalls, jsonOf, toolsOf } from './hand.ts';
import { openInside } from './inside.ts';
import type { Memoir } from './memoir.ts';
import { openOutput } from './output.ts';
import type { OpenaiConfig } from './settings.ts';
import type { Hands, Tool } from './tool.ts';

export type LoopOptions = {
  chat: Chat;
  model: string;
  config: OpenaiConfig;
  account: string;
  priceOf: (model: string, usage: Usage) => number | null;
  memoir: Memoir;
  /** What the agent is to be told before its model is asked the next time. */
  told: () => string[];
};

const cutsMax = 3;
const boxMsMax = 2 ** 31 - 1;

/** What a run has come to so far. */
type State = {
  request: RunRequest;
  options: LoopOptions;
  conversation: Conversation;
  tools: Tool[];
  hands: Hands;
  signal: AbortSignal;
  say(text: string): void;
  turns: number;
  toolCalls: number;
  leftBehind: number;
  usage: Usage;
  /** Null as soon as the price of a call is unknown. */
  usd: number | null;
  model: string;
  cuts: number;
  declined: number;
  reminded: boolean;
  /** The model takes a temperature, as far as is known. */
  coolable: boolean;
};

/** Runs an agent to its end; whatever becomes of it is a result. */
export const runLoop = async (request: RunRequest, options: LoopOptions): Promise<RunResult> => {
  const ended = new AbortController();
  const minutes = Math.round((request.timeBoxMs / 60_000) * 100) / 100;
  const box = setTimeout(
    () => ended.abort(fail('AGENT_TIMED_OUT', { minutes })),
    Math.min(request.timeBoxMs, boxMsMax),
  );
  const output = openOutput(request.outputBytesMax, request.onOutput, () =>
    ended.abort(fail('AGENT_OUTPUT_LIMIT', { bytesMax: request.outputBytesMax })),
  );
  const signal = AbortSignal.any([request.signal, ended.signal]);
  const state = begin(request, options, signal, output.write);
  try {
    const finish = await turns(state);
    output.write(`\n${finish.summary}\n`);
    signal.throwIfAborted();
    if (finish.outcome === 'done') return { ...resultOf(state, output.tail()), ok: true, report: finish };
    return { ...resultOf(state, output.tail(), giveUp(finish)), exitCode: 1, report: finish };
  } catch (thrown) {
    return failedResult(state, output.tail(), signal.aborted ? signal.reason : thrown);
  } finally {
    clearTimeout(box);
  }
};

/** It says that it could not do it: for want of an answer, or at all. */
const giveUp = ({ summary, agent_feedback }: Finish): { code: ErrorCode; message: string } => {
  const said = summary.slice(0, 1000);
  const asks = agent_feedback?.additional_questions.some((text) => text.trim() !== '') ?? false;
  if (asks) return fail('AGENT_ASKS', { summary: said });
  return { code: 'AGENT_FAILED', message: `The agent says that it could not do it: ${said}` };
};

const begin = (request: RunRequest, options: LoopOptions, signal: AbortSignal, say: State['say']): State => {
  const { tools, onlyNotes } = toolsOf(request.agent.tools ?? [], request.agent.disallowed_tools);
  const { config, model } = options;
  const hands: Hands = {
    inside: openInside(request.folder),
    request,
    signal,
    onlyNotes,
    outputBytesMax: config.toolOutput,
    timeMs: config.toolTime,
    onOutput: say,
    leftBehind: (count) => {
      state.leftBehind += count;
    },
  };
  const state: State = {
    ...{ request, options, tools, hands, signal, say, model },
    conversation: openConversation(rules, request.prompt, options.memoir.before, options.memoir.keep),
    ...{
      turns: 0,
      toolCalls: 0,
      leftBehind: 0,
      usage: noUsage,
      usd: 0,
      cuts: 0,
      declined: 0,
      reminded: false,
      coolable: true,
    },
  };
  return state;
};

const rules = [
  'You work on your own, through tools, in one folder; paths are told from there. Nobody reads what you write between',
  'calls, and nobody can answer. Look before you change, change in small steps, and try out what you did by running it.',
  'Ask for several things in one answer where one does not need the other’s result. When all is done, call finish.',
].join(' ');

const turns = async (state: State): Promise<Finish> => {
  const { request, options, conversation } = state;
  const turnsMax = request.maxTurns ?? options.config.turnsMax;
  for (;;) {
    if (state.turns >= turnsMax) throw fail('AGENT_TURNS_SPENT', { turns: turnsMax });
    for (const text of options.told()) conversation.add({ role: 'user', content: text });
    const answer = await ask(state);
    state.turns += 1;
    const finish = answer.refusal === null ? await act(state, answer) : declined(state, answer.refusal);
    if (finish !== null) return finish;
  }
};

/** Asks the model, within what is left of the budget; a conversation that does not fit is cut and asked again. */
const ask = async (state: State): Promise<ChatAnswer> => {
  const { conversation, options, request, tools, signal } = state;
  const { config } = options;
  conversation.trim(config.contextTokens);
  for (let shrinks = 0; ; shrinks++) {
    demandBudget(state);
    try {
      const answer = await callModel(
        options.chat,
        {
          model: options.model,
          messages: conversation.messages(),
          tools: tools.map(({ name, description, schema }) => ({ name, description, input: schema })),
          outputTokensMax: outputMax(state),
          temperature: state.coolable ? request.agent.runtime?.temperature : undefined,
          silentMs: config.modelSilent,
          signal,
          onText: state.say,
        },
        callOptions(state),
      );
      state.model = answer.model;
      if (answer.text !== '') {
        state.say('\n');
        request.onEvent?.({ kind: 'text', text: answer.text });
      }
      return answer;
    } catch (thrown) {
      if (isAboutTemperature(state, thrown)) continue;
      const fits = thrown instanceof CallFailed && thrown.failure.tooLong;
      if (!fits || shrinks >= 2 || conversation.trim(Math.floor(conversation.tokens() / 2)) === 0) throw thrown;
    }
  }
};

/** Models that reason take none; then it is said once, and left out. */
const isAboutTemperature = (state: State, thrown: unknown): boolean => {
  const { temperature } = state.request.agent.runtime ?? {};
  const refused = thrown instanceof CallFailed && thrown.failure.error.code === 'MODEL_REQUEST_REFUSED';
  if (!refused || !state.coolable || temperature === undefined || !/temperature/i.test(thrown.message)) return false;
  state.coolable = false;
  state.request.onNotice?.(`the model ${state.options.model} takes no temperature: ${temperature} has no effect`);
  return true;
};

const callOptions = (state: State) => {
  const { options, request } = state;
  return {
    triesMax: options.config.modelTries,
    waitMsMax: options.config.modelWait,
    gate: request.spend,
    account: options.account,
    priceOf: options.priceOf,
    onRetry: (retry: { status: number | null; delay_ms: number; says: string }) => {
      state.say(`\n(${retry.says}; asked again in ${retry.delay_ms} ms)\n`);
      request.onEvent?.({ kind: 'retry', ...retry });
    },
    onUsage: (usage: Usage, usd: number | null) => {
      state.usage = sum(state.usage, usage);
      state.usd = state.usd === null || usd === null ? null : state.usd + usd;
      request.onEvent?.({ kind: 'usage', usage });
    },
  };
};

/** The most tokens of the next answer: what the definition or the setting says, and what the budget leaves. */
const outputMax = ({ request, options, usage }: State): number => {
  const most = request.agent.runtime?.max_tokens ?? options.config.modelOutput;
  const left = (request.budget?.tokens ?? Number.POSITIVE_INFINITY) - tokensIn(usage);
  return Math.max(1, Math.min(most, left));
};

const demandBudget = ({ request, usage, usd }: State): void => {
  const { tokens = null, usd: usdMax = null } = request.budget ?? {};
  const scope = budgetOfRun(request);
  if (tokens !== null && tokensIn(usage) >= tokens) {
    throw fail('BUDGET_SPENT', { scope, used: tokensIn(usage), max: tokens, what: 'tokens', wanted: 'some' });
  }
  if (usdMax !== null && usd !== null && usd >= usdMax) {
    throw fail('BUDGET_SPENT', { scope, used: usd.toFixed(4), max: usdMax, what: 'USD', wanted: 'some' });
  }
};

/** Does what an answer asks for. Returns the report of an agent that ends, else null. */
const act = async (state: State, answer: ChatAnswer): Promise<Finish | null> => {
  const { conversation, tools, hands, request, options } = state;
  // Half an input would be half a file: what was cut off is asked for again.
  const calls = answer.cut ? answer.calls.filter(({ input }) => jsonOf(input) !== undefined) : answer.calls;
  state.cuts = answer.cut ? state.cuts + 1 : 0;
  if (state.cuts > cutsMax) throw fail('MODEL_CUT', { model: answer.model, tokens: options.config.modelOutput });
  if (calls.length > 0 || answer.text !== '') {
    const kept = calls.map((call) => ({
      ...call,
      input: jsonOf(call.input) === undefined ? '{}' : call.input || '{}',
    }));
    conversation.add({ role: 'assistant', content: answer.text, calls: kept });
  }
  state.toolCalls += calls.length;
  for (const { tool, input } of calls) state.say(`→ ${tool} ${input.replaceAll(/\s+/g, ' ').slice(0, 200)}\n`);
  const { results, finish } = await doCalls(calls, tools, hands, (event) => request.onEvent?.(event));
  conversation.add(...results.map((result) => ({ role: 'tool' as const, ...result })));
  if (finish !== null) return finish;
  if (answer.cut) {
    const says = 'Your answer was cut off: it was too long. Go on in smaller steps; write a long file in pieces.';
    conversation.add({ role: 'user', content: says });
    return null;
  }
  return calls.length > 0 ? null : onlyWords(state, answer.text);
};

/** A model that just talks may have forgotten to end; one that does it again means it. */
const onlyWords = (state: State, text: string): Finish | null => {
  if (state.reminded && text.trim() !== '') {
    const lists = { deliverables: [], recommendations: [], next_steps: [], files: [] };
    return { outcome: 'done', summary: text.trim().slice(0, 8000), ...lists };
  }
  state.reminded = true;
  const says = 'Nobody reads this. Go on with your tools, or call finish with your report if all is done.';
  state.conversation.add({ role: 'user', content: says });
  return null;
};

const declined = (state: State, refusal: string): null => {
  state.declined += 1;
  state.say(`(declined: ${refusal})\n`);
  if (state.declined > 1) throw fail('MODEL_REFUSED', { model: state.model, message: refusal.slice(0, 500) });
  const says = 'Then do what you can of it. If nothing, call finish with the outcome failed, and say why.';
  state.conversation.add({ role: 'assistant', content: refusal, calls: [] }, { role: 'user', content: says });
  return null;
};

const resultOf = (state: State, outputTail: string, error?: { code: ErrorCode; message: string }): RunResult => ({
  ok: false,
  code: error?.code ?? null,
  says: error?.message ?? '',
  exitCode: error === undefined ? 0 : null,
  signal: null,
  outputTail,
  leftBehind: state.leftBehind,
  sessionId: state.options.memoir.id,
  cost: { usd: state.usd, tokens: tokensIn(state.usage) },
  usage: state.usage,
  model: state.model,
  login: state.options.chat.endpoint.key === null ? 'none' : 'api_key',
  notional: false,
  toolCalls: state.toolCalls,
  turns: state.turns,
});

/** A provider's limits, one out of reach, and spent budgets put the attempt aside, uncounted; all else fails it. */
const failedResult = (state: State, outputTail: string, thrown: unknown): RunResult => {
  const { signal, request, options } = state;
  const failure = thrown instanceof CallFailed ? thrown.failure : null;
  const error = failure?.error ?? toAppError(thrown);
  const outside = signal.aborted && !isFailure(error, 'AGENT_TIMED_OUT', 'AGENT_STUCK', 'AGENT_OUTPUT_LIMIT');
  const code = outside ? codeOfAbort(request.signal) : error.code;
  const says = outside ? 'The agent was ended before it was done.' : error.message;
  const result = resultOf(state, outputTail, { code, message: says });
  if (!isFailure(error, 'MODEL_LIMITED', 'MODEL_UNREACHABLE', 'PROVIDER_LIMITED', 'BUDGET_SPENT')) return result;
  // A limit without a time is looked at again soon.
  const waitsMs = failure?.again ? (failure.retryAfterMs ?? options.config.modelWait) : null;
  const until = untilOf(error.details.until) ?? (waitsMs === null ? null : Date.now() + waitsMs);
  return { ...result, parked: { until, code, says, account: options.account } };
};

const untilOf = (until: string | number | undefined): number | null => {
  const at = typeof until === 'string' ? Date.parse(until) : until;
  return at === undefined || Number.isNaN(at) ? null : at;
};

const tokensIn = (usage: Usage): number => Object.values(usage).reduce((total, count) => total + count, 0);

const sum = (one: Usage, other: Usage): Usage => ({
  input_tokens: one.input_tokens + other.input_tokens,
  output_tokens: one.output_tokens + other.output_tokens,
  cache_read_tokens: one.cache_read_tokens + other.cache_read_tokens,
  cache_write_tokens: one.cache_write_tokens + other.cache_write_tokens,
});
