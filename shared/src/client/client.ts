/**
 * The HTTP API as typed functions: what the command line, the dashboard and tests speak to a fleet with.
 *
 * `openClient({ url, token })` gives one method for each route. What the gateway refuses is thrown as a
 * `ClientProblem` with the `code` that programs match on; a gateway that does not answer, or not in time, is one
 * too, with status 0. Nothing is tried again here: whoever calls knows whether that is safe (`Idempotency-Key`).
 *
 * Order to read: api.ts (the shapes), this file, sse.ts (the stream of events).
 */
import { fail } from '@nexus/shared/errors';
import type { TaskRequest } from '@nexus/shared/messages/domain';
import type {
  AgentChecked,
  AgentDetail,
  AgentGiven,
  AgentList,
  AgentRemoved,
  ControlScope,
  ControlState,
  ControlWord,
  DeadLetterDetail,
  DeadLetterList,
  FleetEvent,
  Health,
  LetterAnswer,
  LetterEdit,
  LetterFilter,
  LettersAnswer,
  LettersDecision,
  MemoriesOf,
  MemoryFilter,
  MemoryForgotten,
  MemoryGiven,
  MemoryKept,
  MemoryList,
  MemoryShown,
  PlanShown,
  Problem,
  QuestionAnswer,
  QuestionAnswered,
  ShownStatus,
  SubtaskDetail,
  System,
  TaskAccepted,
  TaskDetail,
  TaskEnding,
  TaskEvidence,
  TaskList,
  TaskLogs,
  TaskRetried,
} from './api.ts';
import type { BudgetRaise, BudgetRaised, CostQuery, CostTable, TaskCost } from './cost-api.ts';
import type { SessionDetail, SessionEnded, SessionList } from './sessions-api.ts';
import { readEvents } from './sse.ts';

export type * from './api.ts';
export type * from './cost-api.ts';

export type ClientOptions = {
  /** Where the gateway is, for example `http://127.0.0.1:8080`. */
  url: string;
  token?: string | undefined;
  /** How long an answer may take, to its last byte; the stream of events has no limit. */
  timeoutMs?: number;
  /** Another `fetch`, for tests. */
  fetch?: typeof globalThis.fetch;
};

/** What the gateway said no with; status 0 if nobody answered: `GATEWAY_UNREACHABLE`, or `GATEWAY_SILENT` in time. */
export class ClientProblem extends Error {
  override readonly name = 'ClientProblem';
  /** The HTTP status; 0 if there was no answer. */
  readonly status: number;
  readonly code: string;
  readonly title: string;
  readonly detail: string;
  readonly problems: { field: string; says: string }[] | undefined;
  /** Seconds after which it may be tried again, if the gateway said so. */
  readonly retryAfter: number | undefined;

  constructor(problem: Pick<Problem, 'status' | 'code' | 'title' | 'detail' | 'problems'>, more: ProblemMore = {}) {
    super(problem.detail, more.cause === undefined ? undefined : { cause: more.cause });
    this.status = problem.status;
    this.code = problem.code;
    this.title = problem.title;
    this.detail = problem.detail;
    this.problems = problem.problems;
    this.retryAfter = more.retryAfter;
  }
}
type ProblemMore = { retryAfter?: number | undefined; cause?: unknown };

type Page = { limit?: number; offset?: number };
type Calling = { signal?: AbortSignal | undefined };

export type Client = {
  /** How a request would be planned; nothing is run. */
  plan(request: TaskRequest, options?: Calling): Promise<PlanShown>;
  submit(request: TaskRequest, options?: Calling & { idempotencyKey?: string }): Promise<TaskAccepted>;
  tasks(filter?: Page & { status?: ShownStatus; waiting?: boolean }): Promise<TaskList>;
  task(id: string): Promise<TaskDetail>;
  subtask(id: string, subtask: string): Promise<SubtaskDetail>;
  /** The report as a document; throws `REPORT_MISSING` while there is none. */
  report(id: string): Promise<unknown>;
  /** The same report as Markdown. */
  reportText(id: string): Promise<string>;
  /** What the attempts have left as evidence: logs, or `all` files; `bytesMax` bounds each file, from its end. */
  logs(id: string, filter?: { subtask?: string; bytesMax?: number; all?: boolean }): Promise<TaskLogs>;
  /** What each attempt and each gate left: its record, and where its files lie. */
  evidence(id: string, filter?: { subtask?: string; attempt?: number }): Promise<TaskEvidence>;
  cancel(id: string, reason?: string): Promise<TaskEnding>;
  /** Lets a task that waits for a person go on: one of its subtasks, or all that wait. */
  retry(id: string, asked?: { subtask_id?: string; note?: string }): Promise<TaskRetried>;
  /** Answers what an agent asked; without `question_id` the only question that is open. */
  answer(id: string, answer: QuestionAnswer): Promise<QuestionAnswered>;
  remove(id: string): Promise<TaskEnding>;
  /** What was spent in the last days, by task unless asked otherwise. */
  costs(query?: CostQuery): Promise<CostTable>;
  /** What a task has spent, attempt by attempt, and its budget. */
  cost(id: string): Promise<TaskCost>;
  /** Sets what a task may spend in all; what waited for it goes on. */
  budget(id: string, raise: BudgetRaise): Promise<BudgetRaised>;
  /** Sets what the whole fleet may spend today. */
  budgetToday(raise: BudgetRaise): Promise<BudgetRaised>;
  agents(): Promise<AgentList>;
  /** One definition, with its Markdown. */
  agent(id: string): Promise<AgentDetail>;
  /** Gives the whole fleet a definition. Throws `AGENT_EXISTS` where there is one of its id. */
  addAgent(given: AgentGiven): Promise<AgentDetail>;
  updateAgent(id: string, given: AgentGiven): Promise<AgentDetail>;
  /** `force`: also where open subtasks are planned for it. */
  removeAgent(id: string, asked?: { force?: boolean; revision?: number }): Promise<AgentRemoved>;
  checkAgent(given: AgentGiven): Promise<AgentChecked>;
  deadLetters(filter?: Page & LetterFilter): Promise<DeadLetterList>;
  deadLetter(id: string): Promise<DeadLetterDetail>;
  edit(id: string, edit: LetterEdit): Promise<DeadLetterDetail>;
  replay(id: string): Promise<LetterAnswer>;
  drop(id: string): Promise<LetterAnswer>;
  /** The same for all that fit, up to a limit; what was refused is named in the answer. */
  replayAll(decision: LettersDecision): Promise<LettersAnswer>;
  dropAll(decision: LettersDecision): Promise<LettersAnswer>;
  /** Memories, the newest first; with `q` or `tag` those that fit, the best first. */
  memories(filter?: MemoryFilter): Promise<MemoryList>;
  memory(id: string): Promise<MemoryShown>;
  remember(given: MemoryGiven): Promise<MemoryKept>;
  forget(id: string): Promise<MemoryForgotten>;
  /** What a task has left, or all of an owner. */
  forgetAll(which: MemoriesOf): Promise<MemoryForgotten>;
  /** The conversations of agents, those in which something happened last first. */
  sessions(filter?: Page & { task?: string }): Promise<SessionList>;
  /** One of them, with its transcript. */
  session(id: string): Promise<SessionDetail>;
  /** Lets nobody go on with it. Throws `SESSION_HELD` while an agent is in it. */
  endSession(id: string): Promise<SessionEnded>;
  control(): Promise<ControlState>;
  command(word: ControlWord, scope?: ControlScope): Promise<ControlState>;
  /**
   * What happens in the fleet, as it happens; from after the event `after` (an id), else from now on. Ends
   * when the signal aborts or the gateway closes the stream; throws if the stream breaks. Whoever wants to
   * go on calls again with the id of the last event.
   */
  events(options?: Calling & { after?: string | undefined; task?: string | undefined }): AsyncIterable<FleetEvent>;
  system(): Promise<System>;
  /** Whether the gateway lives and its Redis answers; needs no token. An unhealthy answer is not thrown. */
  health(): Promise<Health>;
  ready(): Promise<Health>;
  metrics(): Promise<string>;
};

/** Opens a client; nothing is sent before the first call, and nothing has to be closed. */
export const openClient = (options: ClientOptions): Client => {
  const call = caller(options);
  const get = <T>(path: string): Promise<T> => call('GET', path).then(json<T>);
  const send = <T>(method: string, path: string, body?: unknown, more: Sending = {}): Promise<T> =>
    call(method, path, { ...more, body }).then(json<T>);
  return {
    plan: (request, { signal } = {}) => send('POST', '/api/plan', request, { signal, endless: true }),
    submit: (request, { idempotencyKey, signal } = {}) =>
      send('POST', '/api/tasks', request, {
        signal,
        headers: idempotencyKey === undefined ? {} : { 'idempotency-key': idempotencyKey },
      }),
    tasks: (filter = {}) => get(`/api/tasks${query(filter)}`),
    task: (id) => get(`/api/tasks/${part(id)}`),
    subtask: (id, subtask) => get(`/api/tasks/${part(id)}/subtasks/${part(subtask)}`),
    report: (id) => get(`/api/tasks/${part(id)}/report?format=json`),
    reportText: (id) => call('GET', `/api/tasks/${part(id)}/report?format=markdown`).then(text),
    logs: (id, filter = {}) =>
      get(
        `/api/tasks/${part(id)}/logs${query({ subtask: filter.subtask, bytes_max: filter.bytesMax, all: filter.all })}`,
      ),
    evidence: (id, filter = {}) => get(`/api/tasks/${part(id)}/evidence${query(filter)}`),
    cancel: (id, reason) => send('POST', `/api/tasks/${part(id)}/cancel`, reason === undefined ? {} : { reason }),
    retry: (id, asked = {}) => send('POST', `/api/tasks/${part(id)}/retry`, asked),
    answer: (id, answer) => send('POST', `/api/tasks/${part(id)}/answer`, answer),
    remove: (id) => send('DELETE', `/api/tasks/${part(id)}`),
    costs: (asked = {}) => get(`/api/cost${query({ by: asked.by, days: asked.days as number | undefined })}`),
    cost: (id) => get(`/api/tasks/${part(id)}/cost`),
    budget: (id, raise) => send('POST', `/api/tasks/${part(id)}/budget`, raise),
    budgetToday: (raise) => send('POST', '/api/budget', raise),
    agents: () => get('/api/agents'),
    agent: (id) => get(`/api/agents/${part(id)}`),
    addAgent: (given) => send('POST', '/api/agents', given),
    updateAgent: (id, given) => send('PUT', `/api/agents/${part(id)}`, given),
    removeAgent: (id, asked = {}) => send('DELETE', `/api/agents/${part(id)}${query(asked)}`),
    checkAgent: (given) => send('POST', '/api/agents/validate', given),
    deadLetters: (filter = {}) => get(`/api/dead-letters${query(filter)}`),
    deadLetter: (id) => get(`/api/dead-letters/${part(id)}`),
    edit: (id, edit) => send('PATCH', `/api/dead-letters/${part(id)}`, edit),
    replay: (id) => send('POST', `/api/dead-letters/${part(id)}/replay`),
    drop: (id) => send('DELETE', `/api/dead-letters/${part(id)}`),
    replayAll: (decision) => send('POST', '/api/dead-letters/replay', decision),
    dropAll: (decision) => send('POST', '/api/dead-letters/drop', decision),
    memories: (filter = {}) => get(`/api/memory${query(filter as Page)}`),
    memory: (id) => get(`/api/memory/${part(id)}`),
    sessions: (filter = {}) => get(`/api/sessions${query(filter)}`),
    session: (id) => get(`/api/sessions/${part(id)}`),
    endSession: (id) => send('POST', `/api/sessions/${part(id)}/end`),
    remember: (given) => send('POST', '/api/memory', given),
    forget: (id) => send('DELETE', `/api/memory/${part(id)}`),
    forgetAll: (which) => send('DELETE', `/api/memory${query(which)}`),
    control: () => get('/api/control'),
    command: (command, scope) => send('POST', '/api/control', scope === undefined ? { command } : { command, scope }),
    events: (filter = {}) => follow(call, filter),
    system: () => get('/api/system'),
    health: () => call('GET', '/health').then(json<Health>),
    ready: () => call('GET', '/ready', { answers: [503] }).then(json<Health>),
    metrics: () => call('GET', '/metrics').then(text),
  };
};

type Sending = Calling & { headers?: Record<string, string>; body?: unknown; answers?: number[]; endless?: boolean };
type Call = (method: string, path: string, sending?: Sending) => Promise<Response>;

const caller = ({ url, token, timeoutMs = 30_000, fetch = globalThis.fetch }: ClientOptions): Call => {
  const base = url.replace(/\/+$/, '');
  return async (method, path, { headers = {}, body, signal, answers = [], endless = false } = {}) => {
    const limit = endless ? [] : [AbortSignal.timeout(timeoutMs)];
    const signals = [...(signal ? [signal] : []), ...limit];
    const problem = (cause: unknown): unknown => {
      if (signal?.aborted) return signal.reason;
      return limit[0]?.aborted ? silent(base, timeoutMs, cause) : unreachable(base, cause);
    };
    const response = await fetch(base + path, {
      method,
      headers: {
        accept: 'application/json, text/*;q=0.9',
        ...(token ? { authorization: `Bearer ${token}` } : {}),
        ...(body === undefined ? {} : { 'content-type': 'application/json' }),
        ...headers,
      },
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
      ...(signals.length > 0 ? { signal: AbortSignal.any(signals) } : {}),
    }).catch((cause: unknown) => {
      throw problem(cause);
    });
    if (!response.ok && !answers.includes(response.status)) throw await problemOf(response);
    if (endless) return response;
    const whole = await response.arrayBuffer().catch((cause: unknown) => {
      throw problem(cause);
    });
    return new Response(whole, response);
  };
};

async function* follow(
  call: Call,
  { after, task, signal }: NonNullable<Parameters<Client['events']>[0]>,
): AsyncGenerator<FleetEvent> {
  const headers: Record<string, string> = { accept: 'text/event-stream' };
  if (after !== undefined) headers['last-event-id'] = after;
  try {
    const response = await call('GET', `/api/events${query({ task })}`, { headers, signal, endless: true });
    if (!response.body) return;
    for await (const { data } of readEvents(response.body)) yield JSON.parse(data) as FleetEvent;
  } catch (error) {
    if (!signal?.aborted) throw error;
  }
}

const json = <T>(response: Response): Promise<T> => response.json() as Promise<T>;
const text = (response: Response): Promise<string> => response.text();
const part = (value: string): string => encodeURIComponent(value);

const query = (values: Record<string, string | number | boolean | undefined>): string => {
  const given = Object.entries(values).filter(([, value]) => value !== undefined);
  return given.length === 0 ? '' : `?${new URLSearchParams(given.map(([name, value]) => [name, String(value)]))}`;
};

/** A refusal as the gateway wrote it; what is no problem document (a proxy's page, say) still becomes one. */
const problemOf = async (response: Response): Promise<ClientProblem> => {
  const body = await response.text().catch(() => '');
  const after = Number(response.headers.get('retry-after') ?? Number.NaN);
  const retryAfter = Number.isFinite(after) ? after : undefined;
  const told = parsed(body);
  if (typeof told?.code === 'string' && typeof told.detail === 'string') {
    return new ClientProblem({ ...told, title: told.title ?? told.code, status: response.status } as Problem, {
      retryAfter,
    });
  }
  const detail = `${response.url} answered ${response.status} with something that is not NEXUS: ${body.slice(0, 200)}`;
  return new ClientProblem(
    { status: response.status, code: 'GATEWAY_FOREIGN', title: response.statusText, detail },
    { retryAfter },
  );
};

const parsed = (body: string): Partial<Problem> | null => {
  try {
    return JSON.parse(body) as Partial<Problem> | null;
  } catch {
    return null;
  }
};

const silent = (url: string, timeoutMs: number, cause: unknown): ClientProblem => {
  const detail = `The gateway at ${url} took the request, but has not answered within ${timeoutMs / 1000} s.`;
  return new ClientProblem({ status: 0, code: 'GATEWAY_SILENT', title: 'The gateway is silent', detail }, { cause });
};

const unreachable = (url: string, cause: unknown): ClientProblem => {
  const inner = cause instanceof Error && cause.cause instanceof Error ? cause.cause : cause;
  // An address with several families fails with an AggregateError, whose own message is empty.
  const told = inner instanceof AggregateError ? (inner.errors[0] as unknown) : inner;
  const message = told instanceof Error ? told.message : String(told);
  const { code, message: detail } = fail('GATEWAY_UNREACHABLE', { url, message });
  return new ClientProblem({ status: 0, code, title: 'No gateway answers', detail }, { cause });
};
