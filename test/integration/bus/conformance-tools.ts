/** What the cases of the conformance suite are written with: messages said, taken and settled, and what is left. */
import { expect } from 'vitest';
import type { Body, Claim, FabricLook, FabricPort, Row, Settlement, Take } from '../../simulation/fabric-port.ts';

export type Opened = FabricPort & { close(): Promise<void> };
export type Rule = (title: string, about: (fabric: Opened) => Promise<void>) => void;

export const group = 'finalizer';
export const normal = 'finalizer:NORMAL';
const idleMs = 15_000;

export const say = (fabric: FabricPort, body: string, inbox = normal, delayMs: number | null = null) =>
  fabric.publish([
    { inbox, json: body, id: body, delayMs, limit: null, seen: null, remember: '', mark: null, attach: [] },
  ]);

export const takeOf = (consumer: string, over: Partial<Take> = {}): Take => ({
  ...{ group, consumer, free: 1, lowestFirst: false, lookForIdle: false, idleMs, fresh: true, dead: [] },
  ...over,
});

export const takeOne = async (fabric: FabricPort, consumer: string, over: Partial<Take> = {}): Promise<Row> => {
  const { rows } = await fabric.take(takeOf(consumer, over));
  expect(rows).toHaveLength(1);
  return rows[0] as Row;
};

export const settlementOf = (row: Claim, over: Partial<Settlement> = {}): Settlement => ({
  ...{ inbox: row.inbox, entryId: row.id, deliveries: row.deliveries, epoch: null },
  ...{ ending: { end: 'done' }, write: [], publish: [] },
  ...over,
});

export const beginOf = (consumer: string, claim: Claim, epoch: number) => ({
  ...{ claim, group, consumer, epoch, taskKey: 'task:t', scopes: ['task:t', 'agent:a'], alone: false },
  ...{ living: false, afterEnd: false, publish: [] },
});

export const patch = (key: string, revision: number, set: Record<string, string> = { v: 'x' }) =>
  ({ op: 'patch', key, revision, set }) as const;

export const bodies = (look: FabricLook, inbox = normal): Body[] => (look.inboxes[inbox] ?? []).map(({ body }) => body);
export const holders = (look: FabricLook, inbox = normal): (string | undefined)[] =>
  (look.inboxes[inbox] ?? []).map(({ held }) => held?.by);
