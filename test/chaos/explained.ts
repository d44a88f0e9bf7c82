/** Which ends the faults of a run explain: by code or by words, and only where there was such a fault. */
import type { FaultKind } from './fault-plan.ts';

export type Counts = Partial<Record<FaultKind, number>>;

const table: { says: RegExp; faults: readonly FaultKind[] }[] = [
  { says: /DISK_FULL|ENOSPC|No space left|disk (is )?full|unable to write|short write|disk quota/i, faults: ['disk'] },
  { says: /\bPOISON\b|died over it|its worker (died|was lost)|worker_lost/i, faults: ['kill', 'redis'] },
  { says: /REDIS_UNREACHABLE|ECONNREFUSED|Connection is closed|LOADING/, faults: ['redis', 'cut'] },
];

/** Whether a reason, or a letter as it lies in Redis, is what one of these faults does. */
export const explains = (text: string, counts: Counts): boolean =>
  table.some(({ says, faults }) => says.test(text) && faults.some((fault) => (counts[fault] ?? 0) > 0));
