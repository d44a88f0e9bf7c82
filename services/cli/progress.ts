/**
 * The progress of a task as lines of text: pure, so that a test can read what a person would see.
 *
 * `progressLines` is the picture of a moment, for a terminal that is redrawn in place. `changeLines` is
 * what is new since the last look, for a log, a pipe or a terminal that cannot go back.
 */
import type { SubtaskShort, TaskDetail } from '@nexus/shared/client';
import type { SubtaskState } from '@nexus/shared/messages/domain';
import { nexus } from './command-word.ts';
import { resumeWords } from './doctor.ts';
import { checkNote, hasEnded } from './follow.ts';
import { type Colour, cut, duration, oneLine, type Paint, widthOf } from './output.ts';
import { askedLines, wayOn, waysOn } from './waiting-lines.ts';

export type ProgressView = {
  task: TaskDetail;
  /** What each subtask does right now, as events told; newer than what the task itself holds. */
  notes: ReadonlyMap<string, string>;
  now: number;
};
export type Frame = { columns: number; rows: number; paint: Paint };

/** The picture of a moment: a header, then a line for each subtask. Never wider or higher than the frame. */
export const progressLines = (view: ProgressView, frame: Frame): string[] => {
  const subtasks = inOrder(view.task.subtasks);
  const textOf = (subtask: SubtaskShort) => stateText(subtask, view.task);
  const shown = mostTelling(subtasks, Math.max(1, frame.rows - 3));
  const widths = {
    id: widest(shown.map(({ id }) => id)),
    agent: widest(shown.map(({ agent_id }) => agent_id)),
    state: widest(shown.map(textOf)),
    time: Math.max(6, widest(shown.map((subtask) => timeOf(subtask, view)))),
  };
  const lines = shown.map((subtask) => subtaskLine(subtask, view, widths, frame));
  const hidden = subtasks.filter((subtask) => !shown.includes(subtask));
  if (hidden.length > 0) lines.push(frame.paint('dim', cut(`  … and ${countStates(hidden)}`, frame.columns)));
  return [headerLine(view, frame), ...lines];
};

/** What happened between two looks at a task, a line each; `before` is null at the first look. */
export const changeLines = (before: TaskDetail | null, task: TaskDetail): string[] => {
  const lines: string[] = [];
  const why = task.status === 'stopped' && task.held ? ` (${heldUntil(task)})` : '';
  const statusLine = `${task.task_id}: ${words(task.status)}${why}`;
  if (before?.status !== task.status && !hasEnded(task)) lines.push(statusLine);
  const known = new Map(before?.subtasks.map((subtask) => [subtask.id, subtask]));
  const added = task.subtasks.filter(({ id }) => !known.has(id));
  if (added.length > 0)
    lines.push(
      `planned: ${inOrder(added)
        .map(({ id }) => id)
        .join(', ')}`,
    );
  for (const subtask of inOrder(task.subtasks)) {
    const heldBefore = before ?? { status: task.status };
    lines.push(...subtaskChanges(known.get(subtask.id), subtask, [heldBefore, task]));
  }
  lines.push(...askedLines(before, task));
  // How it ended comes after what it ended with.
  if (before?.status !== task.status && hasEnded(task)) lines.push(statusLine);
  return lines;
};

// --- one picture -------------------------------------------------------------------------------

const barColumns = 16;

const headerLine = ({ task, now }: ProgressView, { columns, paint }: Frame): string => {
  const ended = task.subtasks.filter(({ state }) => state === 'merged' || state === 'reported').length;
  const filled = Math.round((barColumns * task.progress_percentage) / 100);
  const bar = '█'.repeat(filled) + '░'.repeat(barColumns - filled);
  const until = task.ended_at === null ? now : Date.parse(task.ended_at);
  const parts = [
    task.subtasks.length === 0 ? '' : `${ended} of ${task.subtasks.length} done`,
    task.sent_back === 0 ? '' : `${task.sent_back} sent back`,
    duration(until - Date.parse(task.created_at)),
  ];
  const rest = `${String(task.progress_percentage).padStart(3)} %  ${parts.filter(Boolean).join(' · ')}`;
  const status = words(task.status);
  const plain = `${task.task_id}  ${status}  ${bar} ${rest}`;
  if (widthOf(plain) > columns) return paint('bold', cut(`${task.task_id}  ${status}  ${rest.trim()}`, columns));
  return `${paint('bold', task.task_id)}  ${paint(taskColours[task.status] ?? 'blue', status)}  ${bar} ${rest}`;
};

const taskColours: Record<string, Colour> = { completed: 'green', failed: 'red', cancelled: 'red', stopped: 'yellow' };

const subtaskLine = (
  subtask: SubtaskShort,
  view: ProgressView,
  widths: { id: number; agent: number; state: number; time: number },
  { columns, paint }: Frame,
): string => {
  const [symbol, colour] = lookOf(subtask, view.task);
  const state = stateText(subtask, view.task).padEnd(widths.state);
  const before = `${subtask.id.padEnd(widths.id)}  ${subtask.agent_id.padEnd(widths.agent)}  `;
  // Two blanks and the widest time, so that a long one never runs into the state.
  const time = timeOf(subtask, view).padStart(widths.time + 2);
  const used = 4 + widthOf(before) + widthOf(state) + widthOf(time) + 2;
  const doing = cut(doingNow(subtask, view), Math.max(0, columns - used));
  const line = `  ${symbol} ${before}${state}${time}  ${doing}`.trimEnd();
  if (widthOf(line) > columns) return cut(line, columns);
  return `  ${paint(colour, symbol)} ${before}${paint(colour, state)}${time}  ${paint('dim', doing)}`.trimEnd();
};

const looks: Record<SubtaskState, [symbol: string, colour: Colour]> = {
  blocked: ['·', 'dim'],
  ready: ['○', 'yellow'],
  working: ['●', 'blue'],
  checking: ['◐', 'yellow'],
  merging: ['◑', 'yellow'],
  merged: ['✓', 'green'],
  reported: ['✓', 'green'],
  parked: ['‖', 'yellow'],
  waiting_for_person: ['?', 'yellow'],
  failed: ['✗', 'red'],
  cancelled: ['–', 'red'],
};

/** What no check has tried is merged, but gets no plain tick. */
const isUnproven = ({ state, verdict }: SubtaskShort): boolean => state === 'merged' && verdict === 'unproven';

const lookOf = (subtask: SubtaskShort, task: Pick<TaskDetail, 'status'>): [symbol: string, colour: Colour] => {
  if (isUnproven(subtask)) return ['~', 'yellow'];
  return looks[isHeld(subtask, task) ? 'parked' : subtask.state];
};

/** The state, with the number of the attempt from the second on. */
const stateText = (subtask: SubtaskShort, task: Pick<TaskDetail, 'status'>): string => {
  const state = isHeld(subtask, task)
    ? heldWord(subtask)
    : `${words(subtask.state)}${isUnproven(subtask) ? ', unproven' : ''}`;
  return subtask.attempt > 1 ? `${state} (${subtask.attempt})` : state;
};

/** What an agent would be doing, were it not for the hold: the board keeps the state that it goes on from. */
const isHeld = ({ state, held = [] }: SubtaskShort, { status }: Pick<TaskDetail, 'status'>): boolean =>
  (status === 'stopped' || held.length > 0) && ['working', 'checking', 'merging'].includes(state);

/** A pause and a drain of a part hold alike what has not begun; a stop holds the most. */
const heldWord = ({ held = [] }: SubtaskShort): string =>
  held.length === 0 || held.some(({ is }) => is === 'stopped') ? 'stopped' : 'paused';

const timeOf = (subtask: SubtaskShort, { task, now }: Pick<ProgressView, 'task' | 'now'>): string => {
  const { began_at, ended_at, state } = subtask;
  // While nothing runs, no time runs.
  if (began_at === null || state === 'ready' || state === 'blocked' || isHeld(subtask, task)) return '';
  if (state === 'parked' && ended_at === null) return '';
  return duration((ended_at === null ? now : Date.parse(ended_at)) - Date.parse(began_at));
};

const doingNow = (subtask: SubtaskShort, { task, notes }: ProgressView): string => {
  if (task.status === 'stopped' && !isDone(subtask.state)) return heldUntil(task);
  if (subtask.held !== undefined) return partsHold(subtask.held);
  const says: Partial<Record<SubtaskState, () => string | null>> = {
    blocked: () => waitsFor(subtask, task.subtasks),
    ready: () => (subtask.attempt > 0 ? whyAgain(subtask) : subtask.title),
    working: () =>
      (subtask.worker_gone ? 'its worker is gone; another one takes it over' : null) ??
      notes.get(subtask.id) ??
      subtask.doing ??
      (subtask.attempt > 1 ? subtask.reason : null) ??
      subtask.title,
    checking: () => notes.get(checkNote(subtask.id)) ?? 'waits for the gate',
    merged: () => subtask.summary,
    reported: () => subtask.summary,
    failed: () => subtask.reason,
    cancelled: () => subtask.reason,
    parked: () => joined(parkedUntil(subtask), subtask.reason),
    waiting_for_person: () => joined(wayOn(task.task_id, subtask.id, whyWaits(subtask, task), false), subtask.reason),
  };
  return oneLine(says[subtask.state]?.() ?? subtask.title);
};

/** What is held, and what lets it go on: the fleet, the task alone, or both. */
const heldUntil = ({ task_id, held = [] }: TaskDetail): string => {
  const words = { fleet: `${nexus} resume --all`, task: `${nexus} resume --task ${task_id}` };
  const is = held.includes('fleet') ? 'the fleet is stopped' : 'held by itself';
  return held.length === 0 ? 'held' : `${is}: ${held.map((part) => words[part]).join(', then ')}`;
};

const partsHold = (held: NonNullable<SubtaskShort['held']>): string => {
  const are = held.map(({ part, is }) => `${part === 'fleet' ? 'the fleet' : part} is ${is}`).join(', ');
  const ways = held.map(({ part }) => `${nexus} resume ${part === 'fleet' ? '--all' : resumeWords(part)}`);
  return `${are}: ${ways.join(', then ')}`;
};

/** The reason that the task tells begins with the code of what went wrong. */
const whyWaits = ({ id, reason }: SubtaskShort, { waiting }: Pick<TaskDetail, 'waiting'>): string =>
  waiting?.find(({ subtask_id }) => subtask_id === id)?.reason ?? reason ?? '';

const parkedUntil = ({ resume_at }: SubtaskShort): string | null =>
  resume_at === null ? null : `until ${timeOfDay(resume_at)}`;

/** With a colon between them where there are both. */
const joined = (...parts: (string | null)[]): string => parts.filter(Boolean).join(': ');

const timeOfDay = (iso: string): string => `${iso.slice(11, 19)} UTC`;

const waitsFor = (subtask: SubtaskShort, all: readonly SubtaskShort[]): string => {
  const open = all.filter(({ id, state }) => subtask.depends_on.includes(id) && !isDone(state));
  return open.length === 0 ? subtask.title : `after ${open.map(({ id }) => id).join(', ')}`;
};

const whyAgain = ({ failures, sent_back, reason }: SubtaskShort): string =>
  reason ?? (sent_back > 0 ? 'sent back; tried again' : failures > 0 ? 'failed; tried again' : 'waits for a worker');

const isDone = (state: SubtaskState): boolean => state === 'merged' || state === 'reported';

// --- what is new -------------------------------------------------------------------------------

const subtaskChanges = (
  before: SubtaskShort | undefined,
  subtask: SubtaskShort,
  [taskBefore, task]: readonly [Pick<TaskDetail, 'status'>, TaskDetail],
): string[] => {
  const name = `${subtask.id} (${subtask.agent_id})`;
  const lines: string[] = [];
  // What has failed for good, and what waits for a person, say why in the line of their state.
  const goesOn = !['failed', 'waiting_for_person'].includes(subtask.state);
  if (goesOn && subtask.sent_back > (before?.sent_back ?? 0)) {
    lines.push(`${name}: sent back${subtask.reason ? `: ${oneLine(subtask.reason)}` : ''}`);
  } else if (goesOn && subtask.failures > (before?.failures ?? 0)) {
    lines.push(`${name}: failed, tried again${subtask.reason ? `: ${oneLine(subtask.reason)}` : ''}`);
  }
  if (goesOn && (subtask.plan_rejections ?? 0) > (before?.plan_rejections ?? 0)) {
    lines.push(`${name}: its plan goes back${subtask.reason ? `: ${oneLine(subtask.reason)}` : ''}`);
  }
  lines.push(...workerLines(before, subtask).map((line) => `${name}: ${line}`));
  const moved =
    before?.state !== subtask.state ||
    before.attempt !== subtask.attempt ||
    isHeld(before, taskBefore) !== isHeld(subtask, task);
  if (!moved || ['blocked', 'ready'].includes(subtask.state)) return lines;
  const detail = isDone(subtask.state) ? subtask.summary : subtask.reason;
  // What was put aside, uncounted, has no line of a failure that says why.
  const isAside = subtask.state === 'parked' && subtask.failures === (before?.failures ?? 0);
  const telling = isDone(subtask.state) || isAside || ['failed', 'waiting_for_person'].includes(subtask.state);
  const until = subtask.state === 'parked' && subtask.resume_at ? ` until ${timeOfDay(subtask.resume_at)}` : '';
  const holds = task.status !== 'stopped' && subtask.held ? `: ${partsHold(subtask.held)}` : '';
  const shown = telling && detail ? `: ${oneLine(detail)}` : holds;
  const line = `${name}: ${stateText(subtask, task)}${until}${shown}`;
  const way = `  ${waysOn(task.task_id, subtask.id, whyWaits(subtask, task))}`;
  return [...lines, line, ...(subtask.state === 'waiting_for_person' ? [way] : [])];
};

/** The death of a worker is nobody's failure, and must not be silent either: its work goes on elsewhere. */
const workerLines = (before: SubtaskShort | undefined, subtask: SubtaskShort): string[] => {
  if (before?.attempt !== subtask.attempt || before.state !== 'working' || subtask.state !== 'working') return [];
  if (subtask.worker_gone) {
    return before.worker_gone ? [] : [`its worker ${before.instance_id} is gone; another one takes it over`];
  }
  const moved = before.instance_id !== null && before.instance_id !== subtask.instance_id;
  return moved || before.worker_gone ? [`goes on at ${subtask.instance_id}`] : [];
};

// --- which, in which order ---------------------------------------------------------------------

/** What comes first stands first: by depth in the graph, else as the board has them. */
export const inOrder = (subtasks: readonly SubtaskShort[]): SubtaskShort[] => {
  const byId = new Map(subtasks.map((subtask) => [subtask.id, subtask]));
  const depths = new Map<string, number>();
  const depthOf = (id: string): number => {
    const known = depths.get(id);
    if (known !== undefined) return known;
    depths.set(id, 0);
    const before = (byId.get(id)?.depends_on ?? []).filter((other) => byId.has(other));
    const depth = before.length === 0 ? 0 : 1 + Math.max(...before.map(depthOf));
    depths.set(id, depth);
    return depth;
  };
  return subtasks
    .map((subtask, at) => ({ subtask, at, depth: depthOf(subtask.id) }))
    .sort((a, b) => a.depth - b.depth || a.at - b.at)
    .map(({ subtask }) => subtask);
};

/** As many as fit, in their order: what is going on before what is over, and that before what waits. */
const mostTelling = (subtasks: SubtaskShort[], countMax: number): SubtaskShort[] => {
  if (subtasks.length <= countMax) return subtasks;
  const chosen = [...subtasks].sort((a, b) => rank(a.state) - rank(b.state)).slice(0, countMax - 1);
  return subtasks.filter((subtask) => chosen.includes(subtask));
};

const rank = (state: SubtaskState): number => {
  if (['working', 'checking', 'merging', 'failed', 'waiting_for_person', 'parked'].includes(state)) return 0;
  return { ready: 1, merged: 2, reported: 2 }[state as string] ?? 3;
};

const countStates = (subtasks: SubtaskShort[]): string => {
  const counts = Map.groupBy(subtasks, ({ state }) => state);
  return [...counts].map(([state, all]) => `${all.length} ${words(state)}`).join(', ');
};

/** A state as people write it. */
export const words = (state: string): string => state.replaceAll('_', ' ');

const widest = (texts: string[]): number => Math.max(0, ...texts.map(widthOf));
