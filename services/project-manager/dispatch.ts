/**
 * Dispatch: which ready subtasks get an agent now. A task works with as many agents as its mode and the
 * setting allow; while others work too, with no more than its share of what the fleet can carry, but always
 * with one, so that nobody waits for ever. A slot is held from the dispatch to the end of the attempt.
 */
import type { Subtask } from '@nexus/shared/messages/domain';
import type { Draft, Slots } from './draft.ts';
import { homeOf, route } from './routing.ts';

/** What all inputs of one dispatch may hold together: the envelope is 64 kB. */
const inputsCharsMax = 12_000;
const handOverFilesCharsMax = 8_000;

/** Dispatches ready subtasks, in their order, into the slots that are free. */
export const dispatch = (draft: Draft): void => {
  const free = freeSlots(draft);
  if (free > draft.head.ready.length && unlisted(draft) > 0) listMore(draft);
  const starting = draft.head.ready.slice(0, free);
  if (starting.length === 0) return;
  const { head } = draft;
  draft.changeHead({
    ready: head.ready.slice(starting.length),
    dispatched: [...head.dispatched, ...starting],
    attempts: head.attempts + starting.length,
  });
  draft.takeSlots(starting.length);
  const parts = draft.parts(starting);
  draft.parts([...new Set(parts.flatMap((part) => part.depends_on))]);
  for (const part of parts) start(draft, part);
};

/** True while an attempt of this number is held by somebody: what else tells of it comes too late. */
export const isRunning = (draft: Draft, part: Subtask, attempt: number): boolean =>
  part.attempt === attempt && draft.head.dispatched.includes(part.id);

/** Gives the slot of an attempt back. */
export const freeSlot = (draft: Draft, id: string): void => {
  draft.changeHead({ dispatched: draft.head.dispatched.filter((other) => other !== id) });
  draft.takeSlots(-1);
};

/** Makes a subtask ready, behind those that are; or before them, where it has waited once already. */
export const makeReady = (draft: Draft, id: string, fields: Partial<Subtask> = {}, first = false): void => {
  const isListed = first || (unlisted(draft) === 0 && draft.head.ready.length < draft.rules.readyListedMax);
  draft.change(id, { ...fields, state: 'ready', resume_at: null });
  const { ready } = draft.head;
  if (isListed) draft.changeHead({ ready: first ? [id, ...ready] : [...ready, id] });
};

/** Tells the dependents of a subtask that it has ended well; those that waited for it alone become ready. */
export const release = (draft: Draft, part: Subtask): void => {
  for (const dependent of draft.parts(part.dependents).toSorted((one, other) => one.order - other.order)) {
    const waitingFor = dependent.waiting_for.filter((id) => id !== part.id);
    draft.change(dependent.id, { waiting_for: waitingFor });
    if (waitingFor.length === 0 && dependent.state === 'blocked') makeReady(draft, dependent.id);
  }
};

/** How many subtasks are ready that the head does not list: a wide board has more of them than a head should hold. */
const unlisted = ({ head }: Draft): number =>
  (head.counts.ready ?? 0) + (head.counts.working ?? 0) - head.dispatched.length - head.ready.length;

/** Looks through the whole board for the next that are ready. */
const listMore = (draft: Draft): void => {
  const { ready, dispatched } = draft.head;
  const known = new Set([...ready, ...dispatched]);
  const more = draft.all().filter(({ id, state }) => state === 'ready' && !known.has(id));
  draft.changeHead({ ready: [...ready, ...more.slice(0, draft.rules.readyListedMax).map(({ id }) => id)] });
};

const freeSlots = (draft: Draft): number => {
  const { head, rules } = draft;
  if (head.ready.length + unlisted(draft) === 0) return 0;
  if (head.mode === 'sequential') {
    // One after the other means that each starts from what the one before has brought in.
    return head.dispatched.length + head.queue.length === 0 && head.at_gate === null ? 1 : 0;
  }
  const free = rules.taskAgentsMax - head.dispatched.length;
  if (free <= 0) return 0;
  return Math.max(0, Math.min(free, shareOf(draft.slots(), draft.taskId) - head.dispatched.length));
};

/** How many slots a task may hold: all of them while it is alone, else its equal part, and one at least. */
export const shareOf = (slots: Slots, taskId: string): number => {
  const others = [...slots.load.keys()].filter((id) => id !== taskId).length;
  return others === 0 ? Number.POSITIVE_INFINITY : Math.max(1, Math.ceil(slots.capacity / (others + 1)));
};

const start = (draft: Draft, ready: Subtask): void => {
  const agent_id = agentFor(draft, ready);
  draft.give(agent_id);
  order(draft, draft.change(ready.id, { attempt: ready.attempt + 1, agent_id, instance_id: null, began_at: null }));
};

/** Asks for the attempt that a subtask is at. Asked twice, it runs once: workers refuse the second. */
export const order = (draft: Draft, ordered: Subtask): void => {
  const part = draft.change(ordered.id, { ordered_at: draft.at });
  draft.publish(
    'subtask.dispatched',
    {
      task_id: draft.taskId,
      subtask_id: part.id,
      attempt: part.attempt,
      agent_id: part.agent_id,
      role: part.role,
      kind: part.kind,
      title: part.title,
      goal: part.goal,
      acceptance: part.acceptance,
      files: part.files,
      grows: part.grows,
      time_box_minutes: part.time_box_minutes,
      runtime: part.other_runtime ?? part.runtime ?? null,
      integration: draft.head.integration,
      inputs: inputsOf(draft, part),
      hand_over: part.hand_over && {
        ...part.hand_over,
        files: within(part.hand_over.files, handOverFilesCharsMax),
      },
      failures: part.failures + part.sent_back,
      agent: definitionFor(draft, part),
    },
    { key: `${part.id}-${part.attempt}` },
  );
};

/** The first attempt is given by routing; later ones stay with the agent that the ladder says, while there is one. */
const agentFor = (draft: Draft, part: Subtask): string => {
  if (part.attempt === 0 && part.step === 'first') return route(draft, part);
  const gone = draft.carries && !part.agent_source && draft.definitionOf(part.agent_id) === null;
  return gone ? homeOf(draft, part) : part.agent_id;
};

/** What a message can carry beside all else; a definition that is longer is looked for by its id. */
const definitionCharsMax = 16_000;

const definitionFor = (draft: Draft, part: Subtask): { file: string; source: string } | null => {
  const definition = part.agent_source
    ? { file: `board:${part.agent_id}`, source: part.agent_source }
    : draft.definitionOf(part.agent_id);
  return definition !== null && definition.source.length <= definitionCharsMax ? definition : null;
};

/** What the subtasks it depends on have reported. */
const inputsOf = (draft: Draft, part: Subtask) => {
  const told = draft.parts(part.depends_on).filter(({ report, evidence }) => report !== null || evidence.length > 0);
  const charsMax = Math.min(2000, Math.floor(inputsCharsMax / Math.max(1, told.length)));
  return told.map(({ id, title, report, evidence }) => ({
    subtask_id: id,
    title,
    summary: (report?.summary ?? '').slice(0, charsMax),
    evidence: evidence.at(-1) ?? null,
  }));
};

/** The first of the texts that together have no more characters than that. */
const within = (texts: readonly string[], charsMax: number): string[] => {
  let chars = 0;
  return texts.filter((text) => {
    chars += text.length;
    return chars <= charsMax;
  });
};
