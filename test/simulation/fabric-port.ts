/**
 * The fabric as its scripts see it: what may be asked, and what is answered. The model (`fabric.ts`) and the real
 * scripts (`test/integration/bus/conformance-redis.ts`) both have this shape, and one suite drives both.
 */
import type { LedgerWrite } from '@nexus/shared/bus';

/** A body is text on the real fabric; the model takes whatever it is given and never looks into it. */
export type Body = unknown;
export type Answer<T> = T | Promise<T>;

/** One delivered entry. Together with the consumer, `deliveries` is the claim token (rule 1). */
export type Row = {
  inbox: string;
  id: string;
  deliveries: number;
  body: Body;
  source: 'nobody' | 'dead' | 'idle' | 'new' | 'unseen';
  deaths: number;
  diedAlone: boolean;
};
export type Claim = Pick<Row, 'inbox' | 'id' | 'deliveries'>;

export type Outgoing = { inbox: string; json: Body; id: string; delayMs: number | null };

export type Ending =
  | { end: 'done' | 'keep' | 'saved' | 'nobody' }
  | { end: 'park'; id: string; json: Body; delayMs: number }
  | { end: 'dead'; id: string; json: Body };

/** Field values are text on the real fabric. */
export type Write = Exclude<LedgerWrite, { op: 'patch' }> | Patch;
export type Patch = { op: 'patch'; key: string; revision: number; set: Record<string, unknown>; del?: string[] };

export type Settlement = {
  inbox: string;
  entryId: string;
  deliveries: number;
  epoch: number | null;
  ending: Ending;
  write: readonly Write[];
  publish: readonly Outgoing[];
};

export type Take = {
  group: string;
  consumer: string;
  free: number;
  lowestFirst: boolean;
  lookForIdle: boolean;
  idleMs: number;
  fresh: boolean;
  dead: readonly string[];
};

export type Begin = {
  claim: Claim;
  group: string;
  consumer: string;
  epoch: number;
  taskKey: string;
  scopes: readonly string[];
  alone: boolean;
  /** Its task must be there; it may have ended. */
  living: boolean;
  afterEnd: boolean;
  publish: readonly Outgoing[];
};

export type RenewClaim = Claim & Pick<Begin, 'taskKey' | 'scopes' | 'living' | 'afterEnd'>;

export type Publication = Outgoing & {
  limit: number | null;
  seen: string | null;
  remember: string;
  mark: string | null;
  attach: readonly { key: string; text: string }[];
};

export type Word = { word: string; scope: string; expected: number | null };

export type FabricPort = {
  publish(messages: readonly Publication[]): Answer<string[]>;
  take(asked: Take): Answer<{ epoch: number; state: string; rows: Row[] }>;
  /** One read over the four inboxes; COUNT is per stream (rule 7). */
  read(group: string, consumer: string, count: number): Answer<Row[]>;
  /** What is pending at a consumer, whoever has seen it (rule 3). */
  pendingAt(group: string, consumer: string): Answer<Row[]>;
  begin(asked: Begin): Answer<string>;
  renew(
    group: string,
    consumer: string,
    claims: readonly RenewClaim[],
  ): Answer<{ epoch: number; state: string; results: string[] }>;
  settle(group: string, consumer: string, batch: readonly Settlement[]): Answer<string[]>;
  /** Rings the alarm of these; without ids sweeps whatever is due. */
  release(ids: readonly string[] | null, limit: number): Answer<number>;
  beat(
    service: string,
    instance: string,
    epoch: number,
    state: string,
  ): Answer<{ epoch: number; state: string; peers: string[] }>;
  bury(service: string, instance: string, counter: string): Answer<number>;
  control(word: Word): Answer<{ answer: string; epoch: number; state: string }>;
  replay(id: string, inbox: string, body: Body): Answer<number>;
  /** Time passes, for idleness and for what is due. */
  pass(ms: number): Answer<void>;
  /** All that lies in the fabric, without ids that differ between two fabrics. */
  look(): Answer<FabricLook>;
};

export type FabricLook = {
  inboxes: Record<string, { body: Body; held: { by: string; deliveries: number } | null }[]>;
  parked: Record<string, { inbox: string; body: Body }>;
  dead: Record<string, Body>;
  deaths: Record<string, string>;
  control: { epoch: number; state: string; scopes: Record<string, string> };
  beats: Record<string, Record<string, number>>;
  hashes: Record<string, Record<string, string>>;
  indexes: Record<string, Record<string, number>>;
  texts: Record<string, string>;
};
