/**
 * Every key of a fabric. All of them begin with one hash tag, so a fabric is one slot and a script may
 * touch any of its keys (rule 30). Nobody else spells a key.
 */
import type { Priority, ServiceName } from '@nexus/shared/messages/domain';

/** The order in which inboxes are served; also the order of the four streams wherever they stand in a row. */
export const prioritiesInOrder = ['CRITICAL', 'HIGH', 'NORMAL', 'LOW'] as const satisfies readonly Priority[];

/** Names the keys of the fabric with this hash tag, such as `{nexus}`. */
export const keysOf = (prefix: string) => ({
  prefix,
  ...ofFabric(prefix),
  ...ofLedger(prefix),
  ...ofSpending(prefix),
  ...ofMemory(prefix),
});

const ofFabric = (prefix: string) => ({
  /** Stream: what waits for a service, and what it holds. One consumer group, named like the service. */
  inbox: (service: ServiceName, priority: Priority) => `${prefix}:inbox:${service}:${priority}`,
  /** Hash inbox → since when there is its stream, in ms: an older entry went with the stream of before. */
  groups: `${prefix}:groups`,
  /** Zset inbox → the same, once what was lost with the stream of before has been asked for again. */
  groupsMended: `${prefix}:groups:mended`,
  /** Stream, capped: the copy of all traffic and events that observers read. */
  journal: `${prefix}:journal`,
  /** Hash id → envelope with its history; zset id → when it is due. */
  parked: `${prefix}:parked`,
  due: `${prefix}:due`,
  /** Hash id → dead letter; zset id → when it died. */
  dead: `${prefix}:dead`,
  deadOrder: `${prefix}:dead:order`,
  /** Hash, kept for a while: what was decided about a dead letter, when and by whom. */
  decided: (id: string) => `${prefix}:dead:decided:${id}`,
  /** Hash stream|entry → how many processes died over it. */
  deaths: `${prefix}:deaths`,
  /** Hash: epoch, state, who said so and when; scopes as fields `task:<id>`, `agent:<id>`, … */
  control: `${prefix}:control`,
  /** Hash scope (or `fleet`) → who gave it its last command, and when, as JSON: for people to read. */
  controlSaid: `${prefix}:control:said`,
  /** List, for a while: the last words on the control channel that were refused, and why, the newest first, as JSON. */
  controlRefusals: `${prefix}:control:refusals`,
  /** String, for seconds: a word on the control channel that somebody has answered for. */
  controlHeard: (digest: string) => `${prefix}:control:heard:${digest}`,
  /** Hash instance → beat counter, one per service: what peers watch. */
  beats: (service: ServiceName) => `${prefix}:beats:${service}`,
  /** Hash instance → what it tells of itself. */
  presence: `${prefix}:presence`,
  /** String: an id or an Idempotency-Key that the edge has seen, for 24 hours. */
  seen: (id: string) => `${prefix}:seen:${id}`,
  /** String: something made once for the whole fabric, such as the token. */
  once: (name: string) => `${prefix}:once:${name}`,
  /** String, for a minute: a write for replicas to confirm. */
  confirm: `${prefix}:confirm`,
  /** String: the API token that was made once. */
  token: `${prefix}:once:token`,
});

/** The ledger: each document has one writing service. */
const ofLedger = (prefix: string) => ({
  /** Hash, written by the orchestrator: revision, status, head, request, plan, result. */
  task: (id: string) => `${prefix}:task:${id}`,
  /** String, written at the edge: a request that is too large for an envelope. */
  request: (id: string) => `${prefix}:request:${id}`,
  /** Zsets of task ids by the time they were created: all, and those that have not ended. */
  tasks: `${prefix}:tasks`,
  openTasks: `${prefix}:tasks:open`,
  /** Zset: tasks that wait for a person, by since when. */
  waitingTasks: `${prefix}:tasks:waiting`,
  /** Zset: tasks that have ended and whose hub is still there, by when they ended. */
  endedTasks: `${prefix}:tasks:ended`,
  /** Hash, written by the project manager: revision, head, s:<subtask>. */
  board: (id: string) => `${prefix}:board:${id}`,
  /** Hash task → slots that it holds, counted by the project manager. */
  load: `${prefix}:load`,
  /** Hash, written by workers: revision, running, checkpoint, ended. */
  attempt: (task: string, subtask: string) => `${prefix}:attempt:${task}:${subtask}`,
  /** Hash, written by workers: revision, doc; and a zset of all sessions by when something last happened in them. */
  session: (id: string) => `${prefix}:session:${id}`,
  sessions: `${prefix}:sessions`,
  /** Hash, written by the finalizer: revision, markdown, json. */
  report: (id: string) => `${prefix}:report:${id}`,
  /** A plan that somebody wanted to see, for ten minutes. */
  preview: (id: string) => `${prefix}:preview:${id}`,
  /** Hash, written by the gateway alone: revision, and of each agent that the fleet has been given a:<id>, r:<id>. */
  agents: `${prefix}:agents`,
  /** Hash of counters, kept for ever by the project manager: agent:<id>:<kind>:ok, role:<role>:<kind>:failed, … */
  history: `${prefix}:history`,
  /** Hash of counters of one day (YYYY-MM-DD), kept for 35 days. */
  stats: (day: string) => `${prefix}:stats:${day}`,
});

/** Money and tokens (`@nexus/shared/spend`). */
const ofSpending = (prefix: string) => ({
  /** Hash: what is used and reserved; `day:<day>`, `task:<id>`, `subtask:<id>:<id>`, `attempt:<id>:<id>:1`. */
  budget: (scope: string) => `${prefix}:spend:budget:${scope}`,
  /** Hash reservation → what it holds of which budgets, as JSON. */
  reservations: `${prefix}:spend:reservations`,
  /** String, for an hour: a reservation that was settled. */
  settled: (reservation: string) => `${prefix}:spend:settled:${reservation}`,
  /** Hashes: the lines of a task's cost, as JSON; the sums of a day. */
  costOfTask: (id: string) => `${prefix}:spend:cost:task:${id}`,
  costOfDay: (day: string) => `${prefix}:spend:cost:day:${day}`,
  /** Hashes: how much a provider takes of an account and model; call → since when it is under way. */
  governor: (name: string) => `${prefix}:spend:governor:${name}`,
  flights: (name: string) => `${prefix}:spend:flights:${name}`,
});

/** Memories, written by scripts of `@nexus/shared/memory`; each key goes with the last memory that needs it. */
const ofMemory = (prefix: string) => ({
  /** Zset: scopes by how many memories they hold. */
  memoryScopes: `${prefix}:memory:scopes`,
  /** Hash: one memory. */
  memory: (id: string) => `${prefix}:memory:item:${id}`,
  /** Set: the memories that a task has left. */
  memoriesOf: (task: string) => `${prefix}:memory:task:${task}`,
  /** Zsets of the memories of a scope: by what they are worth, and by when they were made. */
  memoryWorth: (scope: string) => `${prefix}:memory:worth:${scope}`,
  memoryDates: (scope: string) => `${prefix}:memory:dates:${scope}`,
  /** Hashes of a scope: word → how many memories hold it; fingerprint → memory. */
  memoryWords: (scope: string) => `${prefix}:memory:words:${scope}`,
  memorySame: (scope: string) => `${prefix}:memory:same:${scope}`,
  /** Zset: the memories of a scope that hold a word, by its impact there. */
  memoryWord: (scope: string, word: string) => `${prefix}:memory:word:${scope}:${word}`,
  /** Vector set of a scope, where the server has such. */
  memoryVectors: (scope: string) => `${prefix}:memory:vectors:${scope}`,
});

export type Keys = ReturnType<typeof keysOf>;
