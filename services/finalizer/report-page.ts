/** The report as a page of Markdown, for a person. */
import { copyOut, inside } from '@nexus/shared/process';
import type { Report } from './report.ts';

type Subtask = Report['subtasks'][number];

export const renderReport = (report: Report): string =>
  [
    `# ${line(report.title)}`,
    outcomeOf(report),
    chapter('Asked for', quote(report.request)),
    chapter('Result', resultOf(report)),
    chapter('Why it ended so', whyOf(report)),
    chapter('What is there', savedOf(report)),
    chapter('What you can do', list(report.advice)),
    chapter('Who did what', whoOf(report.subtasks)),
    chapter('Sent back, and why', sentBackOf(report.subtasks)),
    chapter('Still running when it ended', cutOffOf(report)),
    chapter('What was checked', checksOf(report)),
    chapter('What is not proven', list(report.not_proven)),
    chapter('Alarms', list(report.alarms.map(({ subtask_id, says }) => `${subtask_id}: ${says}`))),
    chapter('Warnings', list(report.warnings)),
    chapter(
      'Questions of the agents',
      list(report.subtasks.flatMap(({ id, questions }) => questions.map((one) => `${id}: ${one}`))),
    ),
    chapter('Time and cost', timeOf(report)),
    ...report.documents.map(
      ({ subtask_id, title, agent_id, text }) => `## ${line(title)}\n\n_${subtask_id}, by ${agent_id}_\n\n${text}`,
    ),
  ]
    .filter((part) => part !== '')
    .join('\n\n')
    .concat('\n');

const ended = { completed: 'was completed', failed: 'failed', cancelled: 'was cancelled' } as const;

const outcomeOf = ({ task_id, outcome, result, numbers }: Report): string => {
  const { subtasks, attempts, sent_back, merged } = numbers;
  const work = `${many(subtasks, 'subtask')}, ${many(attempts, 'attempt')}, ${sent_back} sent back, ${merged} merged`;
  const proof =
    result === null ? '' : result.proven ? ' The checks of the result ran.' : ' **Nothing was proven by a check.**';
  return `Task \`${task_id}\`: **${outcome}**. ${work}.${proof}`;
};

/** Of a task that did not end well: its reason, and the subtasks that have one. */
const whyOf = ({ outcome, says, subtasks }: Report): string => {
  if (outcome === 'completed') return '';
  const stuck = subtasks.filter(({ state, reason }) => state === 'failed' && reason !== null);
  return [line(says), list(stuck.map(({ title, id, reason }) => `${title} (${id}): ${reason}`))]
    .filter((part) => part !== '')
    .join('\n\n');
};

const savedOf = ({ saved, numbers, in_container }: Report): string => {
  if (saved === null) return '';
  const { hub, commit, fetch, look, unmerged } = saved;
  const were = numbers.merged === 1 ? 'was' : 'were';
  const merged =
    commit === null
      ? 'Nothing was merged.'
      : `${many(numbers.merged, 'subtask')} ${were} merged, up to ${code(commit)}, in the hub ${code(hub)}.`;
  const commands = [
    ['Get it as a branch', fetch],
    ['Look at it', look],
  ].map(([name, command]) => (command ? `${name}:\n\n${fenced(command)}` : ''));
  const rest = unmerged.map((one) => {
    const [state, at] = one.ref === null ? ['Not merged', ''] : ['In progress', ` at ${code(one.ref)}`];
    return `${state}: ${one.title} (${one.subtask_id}), ${code(one.commit)}${at}.`;
  });
  const get = unmerged[0]?.fetch ? `Get such a commit:\n\n${fenced(unmerged[0].fetch)}` : '';
  const outside = in_container ? outsideOf(fetch ?? unmerged[0]?.fetch ?? null, hub) : '';
  return [merged, ...commands, list(rest), get, outside].filter((part) => part !== '').join('\n\n');
};

const resultOf = ({ outcome, result, base_commit, documents, in_container }: Report): string => {
  if (result === null) {
    return outcome === 'not released' ? 'It was not released.' : `Nothing was released, since it ${ended[outcome]}.`;
  }
  if (result.branch === null) {
    return documents.length > 0
      ? 'The result is what was reported below; no code was changed.'
      : 'No code was changed.';
  }
  const { passed, failed, skipped, broken } = result.checks;
  const rows: [string, string | null][] = [
    ['Branch', code(result.branch)],
    ['Repository', result.repository && code(result.repository)],
    ['Commit', `${code(result.commit)}, begun at ${code(base_commit)}`],
    ['Checks of the result', `${passed} passed, ${failed} failed, ${skipped} skipped, ${broken} broken`],
  ];
  const commands: [string, string | null][] = [
    ['Look at it', result.look],
    ['Start it', result.start],
    ['Undo it', result.undo],
  ];
  const shown = commands.map(([name, command]) => (command === null ? '' : `${name}:\n\n${fenced(command)}`));
  const outside = in_container && result.repository?.startsWith('/') ? outsideOf(result.look, result.repository) : '';
  const early =
    outcome === 'failed' || outcome === 'cancelled'
      ? `It had been pushed before the task ${ended[outcome]}, and is still there.`
      : '';
  return [early, list(rows.filter(([, value]) => value).map(([name, value]) => `${name}: ${value}`)), ...shown, outside]
    .filter((part) => part !== '')
    .join('\n\n');
};

/** The fleet runs in containers: its paths mean nothing to the person's shell. */
const outsideOf = (command: string | null, folder: string): string => {
  if (!folder.startsWith('/')) return '';
  // A command for whichever clone the person stands in has none in there.
  const run = !command?.startsWith('git -C') ? '' : `${inside(command)}\n`;
  const commands = fenced(`${run}${copyOut(folder)}`);
  return `These paths lie in the finalizer's container. Run a command there, or copy the folder here:\n\n${commands}`;
};

const whoOf = (subtasks: readonly Subtask[]): string =>
  table(
    ['Subtask', 'Agent', 'State', 'Attempts', 'Sent back', 'What it says'],
    subtasks.map((one) => [
      `${one.title} (${one.id})`,
      one.agent_id,
      one.state === 'merged' && one.verdict === 'unproven' ? 'merged, **unproven**' : one.state,
      String(one.attempts),
      String(one.sent_back),
      (one.summary ?? '').slice(0, 400),
    ]),
  );

/** Every attempt that did not end well, and every gate that refused. */
const sentBackOf = (subtasks: readonly Subtask[]): string =>
  list(
    subtasks.flatMap(({ id, history }) =>
      history
        .filter(({ outcome }) => !['finished', 'gate_passed', 'gate_unproven'].includes(outcome))
        .map(({ attempt, agent_id, outcome, says }) => `${id}, attempt ${attempt} by ${agent_id}: ${outcome}. ${says}`),
    ),
  );

const cutOffOf = ({ task_id, cut_off, hub }: Report): string => {
  const lines = cut_off.map(({ subtask_id, attempt, agent_id, duration_ms, evidence }) => {
    const kept =
      evidence === null || hub === null
        ? 'Nothing of it had been kept when this was written.'
        : `See ${code(`nexus logs ${task_id} --subtask ${subtask_id}`)}, or ${code(evidence)} in the hub ${code(hub)}.`;
    return `${subtask_id}, attempt ${attempt} by ${agent_id}: cut off after ${duration(duration_ms)}. ${kept}`;
  });
  return list(lines);
};

/** The refs of evidence lie in no repository of the person's: that must be said, or be guessed. */
const checksOf = ({ task_id, subtasks, hub }: Report): string => {
  const some = subtasks.some(({ checks }) => checks.some(({ log }) => log !== null));
  const where =
    hub === null || !some ? '' : `The logs lie in the hub ${code(hub)}; show them: ${code(`nexus logs ${task_id}`)}`;
  return [tableOfChecks(subtasks), where].filter((part) => part !== '').join('\n\n');
};

const tableOfChecks = (subtasks: readonly Subtask[]): string =>
  table(
    ['Subtask', 'Check', 'State', 'Command', 'Exit code', 'Time', 'Tests', 'Log'],
    subtasks.flatMap(({ id, checks }) =>
      checks.map((check) => [
        id,
        check.name,
        check.failing_before ? `${check.state} (before, too)` : check.state,
        check.command === null ? '' : code(check.command),
        check.exit_code === null ? '' : String(check.exit_code),
        duration(check.duration_ms),
        check.tests === null
          ? 'unknown'
          : `${check.tests.passed} of ${check.tests.total} passed, ${check.tests.skipped} skipped`,
        check.log === null ? '' : code(`${check.log.ref}:${check.log.path}`),
      ]),
    ),
  );

const timeOf = ({ time, cost }: Report): string =>
  list([
    `From ${time.created_at} to ${time.released_at}: ${duration(time.duration_ms)}.`,
    `Agents worked ${duration(time.agents_ms)} in sum.`,
    `Cost: ${cost.usd === null ? 'unknown' : `${cost.usd.toFixed(2)} USD`}; tokens: ${cost.tokens ?? 'unknown'}.`,
  ]);

const many = (count: number, what: string): string => `${count} ${what}${count === 1 ? '' : 's'}`;

const chapter = (title: string, text: string): string => (text === '' ? '' : `## ${title}\n\n${text}`);

const list = (items: readonly string[]): string => items.map((item) => `- ${line(item)}`).join('\n');

const table = (head: string[], rows: string[][]): string => {
  if (rows.length === 0) return '';
  const row = (cells: string[]) => `| ${cells.map((cell) => line(cell).replaceAll('|', '\\|')).join(' | ')} |`;
  return [row(head), row(head.map(() => '---')), ...rows.map(row)].join('\n');
};

const line = (text: string): string => text.replaceAll(/\s+/g, ' ').trim();

const quote = (text: string): string => text.trim().replaceAll(/^/gm, '> ');

/** Text as code, also where it holds backticks itself. */
const code = (text: string | null): string => {
  const fence = '`'.repeat(1 + longestRun(text ?? ''));
  return text === null ? 'unknown' : `${fence}${fence.length > 1 ? ` ${text} ` : text}${fence}`;
};

const fenced = (text: string): string => {
  const fence = '`'.repeat(Math.max(3, 1 + longestRun(text)));
  return `${fence}sh\n${text}\n${fence}`;
};

const longestRun = (text: string): number => Math.max(0, ...(text.match(/`+/g) ?? []).map((run) => run.length));

const duration = (ms: number): string => {
  if (ms < 1000) return `${ms} ms`;
  const seconds = ms / 1000;
  if (seconds < 60) return `${seconds.toFixed(1)} s`;
  const minutes = Math.floor(seconds / 60);
  return minutes < 60
    ? `${minutes} min ${Math.round(seconds % 60)} s`
    : `${Math.floor(minutes / 60)} h ${minutes % 60} min`;
};
