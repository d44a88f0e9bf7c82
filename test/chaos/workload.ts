/**
 * The tasks of a chaos run: five subtasks each, played by scripted agents that really change files, behind a gate
 * that really runs a small suite. Which of them break a test, crash, conflict or leave a process behind is counted by
 * the task's number, so that every run has all of it.
 */
import { execFileSync } from 'node:child_process';
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { openRandom } from '../simulation/random.ts';

export type Work = {
  request: string;
  workflow: string;
  scenario: string;
  repository?: string;
  /** What the result must hold: path → text. */
  files: Record<string, string>;
  /** The subtasks that end in a merge. */
  code: string[];
};

const manifest = `${JSON.stringify({ type: 'module', scripts: { test: 'node --test' } })}\n`;
const moduleOf = (id: string): string => `export const ${id} = '${id}';\n`;
const suiteOf = (id: string, expected = id): string =>
  `import assert from 'node:assert';\nimport { test } from 'node:test';\nimport { ${id} } from '../src/${id}.js';\n` +
  `test('${id} says its name', () => assert.equal(${id}, '${expected}'));\n`;

const workflow = {
  name: 'chaos',
  description: 'Five subtasks: one, two beside each other, one behind both, and a look at all of it.',
  analyst: 'never',
  chooses: ['chaos'],
  subtasks: [
    { id: 'first', title: 'The first part', role: 'builder', goal: 'Write src/first.js.' },
    { id: 'left', title: 'The left part', role: 'builder', goal: 'Write src/left.js.', depends_on: ['first'] },
    { id: 'right', title: 'The right part', role: 'builder', goal: 'Write src/right.js.', depends_on: ['first'] },
    { id: 'join', title: 'Join', role: 'builder', goal: 'Write src/join.js.', depends_on: ['left', 'right'] },
    { id: 'look', title: 'Look', role: 'reviewer', kind: 'report', goal: 'Look at it.', depends_on: ['join'] },
  ],
};

/** Writes the workflow and a person's repository; returns their folders. */
export const prepareGround = (folder: string): { workflows: string; repository: string } => {
  const [workflows, repository] = [join(folder, 'workflows'), join(folder, 'shop')];
  mkdirSync(workflows, { recursive: true });
  writeFileSync(join(workflows, 'chaos.yaml'), JSON.stringify(workflow));
  mkdirSync(join(repository, 'test'), { recursive: true });
  writeFileSync(join(repository, 'package.json'), manifest);
  const suite = "import { test } from 'node:test';\ntest('the shop is open', () => {});\n";
  writeFileSync(join(repository, 'test/shop.test.js'), suite);
  const git = (...words: string[]) =>
    execFileSync('git', ['-C', repository, '-c', 'user.name=P', '-c', 'user.email=p@p', ...words], { stdio: 'ignore' });
  git('init', '-q', '-b', 'main');
  git('add', '.');
  git('commit', '-q', '-m', 'Open the shop');
  return { workflows, repository };
};

type Step = Record<string, unknown>;

/** The work of task number `at`. Every fourth is planned by an agent, every second changes a person's repository. */
export const workOf = (at: number, seed: number, repository: string, fast: boolean): Work => {
  const random = openRandom(seed + 31 * at);
  const wait = (): Step => ({ wait: random.between(0, fast ? 800 : 2000) });
  const planned = at % 4 === 3;
  const own = at % 2 === 0;
  const code = planned ? ['north', 'east', 'south', 'west'] : ['first', 'left', 'right', 'join'];
  const begins = planned ? 'north' : 'first';
  const build = (id: string, expected = id): Step[] => [
    { say: `I write ${id}.` },
    { write: { [`src/${id}.js`]: moduleOf(id) } },
    wait(),
    {
      write: {
        [`test/${id}.test.js`]: suiteOf(id, expected),
        ...(own && id === begins ? { 'package.json': manifest } : {}),
      },
    },
    wait(),
    { report: { summary: `Wrote ${id}.` } },
  ];
  const subtasks: Record<string, Step[][]> = Object.fromEntries(code.map((id) => [id, [build(id)]]));
  const files = Object.fromEntries(code.map((id) => [`src/${id}.js`, moduleOf(id)]));
  if (planned) subtasks.plan = [planSteps(code, wait())];
  else mishaps(at, subtasks, files, build);
  // A new plan, where faults have cost a subtask all its attempts: it is to be done as it stands.
  subtasks.planner = [[{ report: { summary: 'Do it as it is.' } }]];
  subtasks.look = [[{ run: 'node --test' }, { report: { summary: 'All of it is there.' } }]];
  return {
    request: `Chaos, task ${at + 1}: write ${code.join(', ')}.`,
    workflow: planned ? 'simple' : 'chaos',
    scenario: JSON.stringify({ name: `Chaos ${at + 1}`, subtasks }),
    ...(own ? {} : { repository }),
    files,
    code,
  };
};

const planSteps = ([begins = '', ...others]: string[], wait: Step): Step[] => {
  const node = (id: string, depends_on: string[]) => ({
    ...{ id, title: `The ${id} part`, role: 'builder', goal: `Write src/${id}.js.`, depends_on },
  });
  return [wait, { plan: { subtasks: [node(begins, []), ...others.map((id) => node(id, [begins]))] } }];
};

/** What goes wrong by itself, without any fault of ours, and is mended by the second attempt. */
const mishaps = (
  at: number,
  subtasks: Record<string, Step[][]>,
  files: Record<string, string>,
  build: (id: string, expected?: string) => Step[],
): void => {
  if (at % 3 === 0) subtasks.left = [build('left', 'something else'), build('left')];
  if (at % 3 === 1) subtasks.right = [[...build('right').slice(0, 2), { crash: 'SIGKILL' }], build('right')];
  if (at % 3 === 2) {
    // Both begin the same file, so the second to come meets a conflict and writes what both meant.
    const both = { write: { 'shared.txt': 'left\nright\n' } };
    for (const id of ['left', 'right']) {
      subtasks[id] = [
        [{ write: { 'shared.txt': `${id}\n` } }, ...build(id)],
        [both, ...build(id)],
      ];
    }
    files['shared.txt'] = 'left\nright\n';
  }
  if (at % 5 === 0) subtasks.join = [[{ spawn_background: 'sleep 600' }, ...build('join')]];
};
