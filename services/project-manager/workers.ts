/** What the workers of the fleet can do, by what the living ones tell of themselves. */
import type { Presence } from '@nexus/shared/messages/domain';

/** Those that take work now. */
export const servingIn = (presences: readonly Presence[]): Presence[] =>
  presences.filter(({ service, state }) => service === 'worker-agent' && state === 'serving');

/** How many attempts they can run at a time. */
export const slotsOf = (workers: readonly Presence[]): number => workers.reduce((sum, { slots }) => sum + slots, 0);

/** The runtimes that one of them can use. A rehearsal is asked for, never chosen. */
export const runtimesOf = (workers: readonly Presence[]): string[] => {
  const names = workers.flatMap(({ runtimes }) => runtimes.filter((one) => one.usable).map(({ name }) => name));
  return [...new Set(names)].filter((name) => name !== 'scripted');
};
