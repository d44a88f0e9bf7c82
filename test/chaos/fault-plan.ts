/**
 * What happens to the fleet, and when, as the seed says: two lanes of faults that run side by side. The same seed and
 * the same options make the same choices; what they meet is the machine's.
 */
import { openRandom } from '../simulation/random.ts';

export const faultKinds = ['kill', 'pause', 'redis', 'cut', 'disk', 'stop'] as const;
export type FaultKind = (typeof faultKinds)[number];

/** `share` (0 to 1) chooses among what there is at that moment: a process, or a connection. */
export type Fault = { afterMs: number } & (
  | { kind: 'kill'; share: number }
  | { kind: 'pause'; share: number; forMs: number }
  | { kind: 'redis'; how: 'SIGKILL' | 'SIGTERM'; downMs: number }
  | { kind: 'cut'; share: number; all: boolean }
  | { kind: 'disk'; forMs: number }
  | { kind: 'stop'; by: 'word' | 'rest'; resumeBy: 'word' | 'rest'; forMs: number }
);

export type PlanOptions = { seed: number; only: readonly FaultKind[]; fast: boolean };

/** The kills: one every one to five seconds. */
export function* kills({ seed, only }: PlanOptions): Generator<Fault, void> {
  const random = openRandom(seed);
  if (!only.includes('kill')) return;
  for (;;) yield { kind: 'kill', afterMs: random.between(1000, 5000), share: share(random) };
}

/** All other faults, one after the other; each kind has had its turn before any of them comes again. */
export function* troubles({ seed, only, fast }: PlanOptions): Generator<Fault, void> {
  const random = openRandom(seed ^ 0x5eed);
  const kinds = only.filter((kind) => kind !== 'kill');
  let left: FaultKind[] = [];
  while (kinds.length > 0) {
    if (left.length === 0) left = [...kinds];
    const afterMs = random.between(2000, fast ? 6000 : 12_000);
    yield { afterMs, ...chosen(random.draw(left), random, fast) } as Fault;
  }
}

const chosen = (kind: FaultKind, random: ReturnType<typeof openRandom>, fast: boolean) => {
  switch (kind) {
    case 'pause':
      return { kind, share: share(random), forMs: fast ? 17_000 : 20_000 };
    case 'redis':
      return { kind, how: random.pick(['SIGKILL', 'SIGTERM'] as const), downMs: random.between(0, 3000) };
    case 'cut':
      return { kind, share: share(random), all: random.chance(0.3) };
    case 'disk':
      return { kind, forMs: random.between(2000, 6000) };
    case 'stop': {
      const [by, resumeBy] = [random.pick(['word', 'rest'] as const), random.pick(['word', 'rest'] as const)];
      return { kind, by, resumeBy, forMs: random.between(2000, 5000) };
    }
    default:
      return { kind, share: share(random) };
  }
};

const share = (random: ReturnType<typeof openRandom>): number => random.below(1_000_000) / 1_000_000;
