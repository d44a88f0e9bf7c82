/** What the workers of the fleet can do, by what the living ones tell of themselves. */
import type { Presence } from '@nexus/shared/messages/domain';

/** Those that take work now, or go on with what they have; one that beats no more does neither. */
export const servingIn = (presences: readonly Presence[]): Presence[] =>
  presences.filter(
    ({ service, state, silent_since }) =>
      service === 'worker-agent' && state === 'serving' && silent_since === undefined,
  );

/** How many attempts they can run at a time; a worker without room for more has what it runs. */
export const slotsOf = (workers: readonly Presence[]): number =>
  workers.reduce((sum, { slots, busy, refuses }) => sum + (refuses ? Math.min(busy, slots) : slots), 0);

/** Agent → attempts that it runs now. */
export const attemptsOf = (workers: readonly Presence[]): Map<string, number> => {
  const counts = new Map<string, number>();
  for (const { agent_id } of workers.flatMap(({ running }) => running)) {
    counts.set(agent_id, (counts.get(agent_id) ?? 0) + 1);
  }
  return counts;
};

/** The runtimes that one of them can use, and gives work to unasked. A rehearsal is asked for, never chosen. */
export const runtimesOf = (workers: readonly Presence[]): string[] => {
  const offered = workers.flatMap(({ runtimes }) => runtimes.filter((one) => one.usable && !one.only_asked));
  const names = offered.map(({ name }) => name);
  return [...new Set(names)].filter((name) => name !== 'scripted');
};
