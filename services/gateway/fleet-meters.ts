/**
 * The state of the whole fleet as metrics: what the alerts of `deploy/prometheus/alerts.yml` are about. Read from Redis
 * when Prometheus asks, and only by the gateway, so that each figure comes from one place.
 */
import type { Fleet } from './fleet.ts';
import { spendingOf } from './spending.ts';

/** Registers the gauges; what it returns sets them. Without Redis it says only that. */
export const makeFleetMeters = (fleet: Fleet): (() => Promise<void>) => {
  const { bus, meters } = fleet;
  const up = meters.gauge('nexus_redis_up', 'Whether Redis answers: 1 or 0.');
  const memory = meters.gauge('nexus_redis_memory_share', 'Share of maxmemory in use; 0 where there is no limit.');
  const waiting = meters.gauge('nexus_inbox_waiting', 'Messages that wait for a service.', ['inbox']);
  const held = meters.gauge('nexus_inbox_held', 'Messages that a service holds.', ['inbox']);
  const parked = meters.gauge('nexus_parked_messages', 'Messages that wait for their time.');
  const dead = meters.gauge('nexus_dead_letters', 'Dead letters that wait for a decision.');
  const age = meters.gauge('nexus_dead_letters_oldest_seconds', 'Age of the oldest dead letter; 0 without one.');
  const open = meters.gauge('nexus_tasks_open', 'Tasks that have not ended.');
  const asking = meters.gauge('nexus_tasks_waiting', 'Tasks that wait for a person.');
  const stopped = meters.gauge('nexus_fleet_held', 'Whether the fleet is stopped or paused: 1 or 0.');
  const instances = meters.gauge('nexus_instances', 'Instances of a service that live and beat.', ['service']);
  const full = meters.gauge('nexus_workers_refusing', 'Workers that take nothing for want of memory or disk.');
  const money = meters.gauge('nexus_budget_day_usd', 'The budget of today: max, used, reserved.', ['part']);
  return async () => {
    const { ok } = bus.health();
    up.set(ok ? 1 : 0);
    if (!ok) return;
    const [counts, control, living, share, today] = await Promise.all([
      bus.counts(),
      bus.control.read(),
      bus.presences(),
      bus.memoryShare(),
      spendingOf(fleet).budgets.read('day'),
    ]);
    for (const [inbox, count] of Object.entries(counts.inboxes)) {
      waiting.set({ inbox }, count.waiting);
      held.set({ inbox }, count.held);
      instances.set({ service: inbox }, living.filter((one) => one.service === inbox && !one.silent_since).length);
    }
    memory.set(share);
    // Without a limit there is none to compare with.
    if (today.usd_max !== null) money.set({ part: 'max' }, today.usd_max);
    money.set({ part: 'used' }, today.usd_used);
    money.set({ part: 'reserved' }, today.usd_reserved);
    parked.set(counts.parked);
    dead.set(counts.dead);
    age.set(counts.oldest_dead_at === null ? 0 : Math.round((Date.now() - Date.parse(counts.oldest_dead_at)) / 1000));
    open.set(counts.tasks.open);
    asking.set(counts.tasks.waiting);
    stopped.set(control.state === 'stopped' || control.state === 'paused' ? 1 : 0);
    full.set(living.filter(({ refuses }) => typeof refuses === 'string').length);
  };
};
