/** What is left once nothing happens any more: nothing lost, nothing half done, and the ledger says what git says. */
import assert from 'node:assert/strict';
import type { TaskView } from '@nexus/shared/ledger';
import { endedTask } from '@nexus/shared/messages/domain';
import { readBoard, readTask, roles } from './ledger-duties.ts';
import type { Mail } from './mail.ts';
import type { World } from './world.ts';

export type TaskEnd = { task: string; status: string; merged: number };

export const assertEnd = (world: World): TaskEnd[] => {
  const { fabric } = world;
  const { state } = fabric;
  for (const { name, entries, pending } of state.inboxes.values()) {
    assert.equal(entries.size, 0, `${name} still holds messages`);
    assert.equal(pending.size, 0, `${name} has pending entries`);
  }
  assert.equal(state.parked.size, 0, 'something is parked for ever');
  assert.equal(state.deaths.size, 0, 'deaths are remembered of what has ended');
  for (const process of world.processes) assert.equal(process.jobs.length, 0, `${process.name} still holds something`);
  const letters = [...state.dead.values()] as Mail[];
  for (const { id } of letters) {
    const code = world.codes.get(id);
    assert(code === 'POISON' || code === 'RETRIES_EXHAUSTED', `${id} died without a reason: ${code}`);
  }
  const ends = [...world.tasks.keys()].map((task) => assertTask(world, task, letters));
  const load = state.hashes.get('load');
  assert(load === undefined, `slots are still held: ${JSON.stringify([...(load ?? [])])}`);
  for (const [id, where] of world.whereabouts.at)
    assert.equal(where, 'dead', `${id} is nowhere, though it is ${where}`);
  return ends;
};

/** An accepted task has ended, was deleted, or waits for a person at the desk of dead letters. */
const assertTask = (world: World, task: string, letters: readonly Mail[]): TaskEnd => {
  const { hub } = world.tasks.get(task) as {
    hub: World['tasks'] extends Map<string, infer T> ? T['hub' & keyof T] : never;
  };
  const view = readTask(world.fabric, task);
  const waits = letters.some((mail) => mail.task === task);
  const merged = hub.markers.size;
  if (view === null) {
    assert(waits || world.deleted.has(task), `${task} was accepted, and nobody knows it`);
    return { task, status: waits ? 'dead' : 'deleted', merged };
  }
  const { status, reason, ended_at, deadline } = view.head;
  if (/^DEADLINE_/.test(reason ?? '')) {
    world.note('deadline missed');
    assert(Date.parse(ended_at ?? '') >= Date.parse(deadline ?? ''), `${task} failed before its deadline`);
  }
  assert(endedTask(status) || waits, `${task} stands at ${status} for ever`);
  assertLedger(world, task, view, waits);
  return { task, status, merged };
};

const assertLedger = (world: World, task: string, view: TaskView, waits: boolean): void => {
  const hub = world.hubOf(task);
  const board = readBoard(world.fabric, task);
  if (board === null) return;
  assert(board.head.outcome !== null || waits, `the board of ${task} is open, and the task is ${view.head.status}`);
  const parts = [...board.subtasks.values()];
  for (const { id, role, depends_on, plan_rejections } of parts) {
    assert(roles.has(role), `${id} is for a ${role}, whom nobody is`);
    for (const on of depends_on) assert(board.subtasks.has(on), `${id} depends on ${on}, which is not on the board`);
    assert(plan_rejections <= world.rules.planRejectionsMax, `the plan of ${id} went back ${plan_rejections} times`);
  }
  for (const part of parts)
    if (part.state === 'merged') assert(hub.markers.has(part.id), `${part.id} counts as merged, but git knows nothing`);
  if (view.head.status !== 'completed') return;
  const merged = parts.filter(({ state }) => state === 'merged').map(({ id }) => id);
  // What a failover made the ledger forget may have been planned anew; git keeps it, gated and merged once.
  const inGit = [...hub.markers.keys()].filter((id) => world.failovers === 0 || board.subtasks.has(id));
  assert.deepEqual(merged.sort(), inGit.sort(), `ledger and git differ about ${task}`);
  assert.equal(board.head.integration, hub.integration, `integration of ${task} is not what the ledger says`);
  assert.equal(view.result?.commit, hub.released, `what was released of ${task} is not its result`);
  assert.equal(hub.released, hub.integration, `what was released of ${task} is not what was merged`);
};
