/** The command line as a person types it, against a real HTTP server that answers as a gateway would. */
import { writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { stripVTControlCharacters } from 'node:util';
import { beforeEach, expect, test } from 'vitest';
import { type Answer, answering, gateway, openHome, runNexus } from '../../test/tools/cli.ts';
import { exitCodes } from './exit-codes.ts';

let home: string;
beforeEach(() => {
  home = openHome();
});
const nexus = (words: string[], url: string, more: Parameters<typeof runNexus>[3] = {}) =>
  runNexus(home, words, url, more);

const nobody = 'http://127.0.0.1:1';
const ended = {
  task_id: 'shop-abc123',
  title: 'A shop',
  request: 'A shop',
  status: 'completed',
  current_phase: 'completed',
  progress_percentage: 100,
  created_at: '2027-01-01T00:00:00Z',
  ended_at: '2027-01-01T00:00:42Z',
  reason: null,
  workflow: 'feature',
  repository: null,
  cost: { usd: 0.5, tokens: 1200 },
  warnings: [],
  attempts: 3,
  sent_back: 1,
  merged: 2,
  subtasks: [],
  report_url: '/api/tasks/shop-abc123/report',
  result: {
    branch: 'nexus/shop-abc123',
    commit: 'f'.repeat(40),
    repository: '/repositories/shop',
    checks: { passed: 2, failed: 0, skipped: 1, broken: 0 },
    proven: true,
    undo: 'git branch -D nexus/shop-abc123',
    look: 'git diff main...nexus/shop-abc123',
    start: 'npm start',
  },
  kept: null,
};

const submitting: Answer = ({ method, path }, response) => {
  if (path.startsWith('/api/events')) return;
  response.statusCode = method === 'POST' ? 202 : 200;
  response.end(
    JSON.stringify(
      method === 'POST' ? { task_id: ended.task_id, status: 'accepted', warnings: ['It is dirty.'] } : ended,
    ),
  );
};

test('plan sends what it asks for and nothing else, with --json too', async () => {
  const shown = { approach: 'Do it.', workflow: 'feature', mode: 'parallel', subtasks: [], risks: [], warnings: [] };
  const unknown = { probability: null, price_usd: null, judgement: null, outlook: null };
  const { url, calls } = await answering({ 'POST /api/plan': { ...shown, ...unknown } });
  const words = ['plan', 'Build a shop', '--repo', './here', '--analyst', 'off', '--usd', '2.5', '--json'];
  const { code, out } = await nexus(words, url);
  expect(calls[0]?.body).toEqual({
    request: 'Build a shop',
    repository: resolve('./here'),
    analyst: false,
    budget: { usd: 2.5 },
  });
  expect([code, JSON.parse(out).approach]).toEqual([0, 'Do it.']);
});

test.each(['run', 'plan'])('%s refuses an empty repository: a variable that is not set names none', async (verb) => {
  const { url, calls } = await answering({});
  const { code, err } = await nexus([verb, 'Build a shop', '--repo', ''], url);
  expect([code, calls]).toEqual([2, []]);
  expect(err).toContain('--repo is empty');
});

test('run sends every option as the API wants it, follows the task, and says where the result is', async () => {
  const { url, calls } = await gateway(submitting);
  const scenario = join(home, 's.yaml');
  writeFileSync(scenario, 'name: x');
  const options = `--repo ./here --base main --workflow feature --mode sequential --analyst off --setup a --setup b
    --priority high --usd 2.5 --tokens 90000 --deadline 2030-01-01T00:00:00Z --scenario ${scenario}`;
  const words = ['run', 'Build a shop', ...options.split(/\s+/), '--check', 'npm test', '--check', 'npm run lint'];
  const { code, out, err } = await nexus(words, url);
  expect(code).toBe(0);
  expect(calls[0]).toMatchObject({
    method: 'POST',
    path: '/api/tasks',
    token: 'Bearer secret',
    body: {
      request: 'Build a shop',
      repository: resolve('./here'),
      base: 'main',
      workflow: 'feature',
      mode: 'sequential',
      analyst: false,
      setup: ['a', 'b'],
      checks: [
        { name: 'check-1', command: 'npm test' },
        { name: 'check-2', command: 'npm run lint' },
      ],
      priority: 'high',
      budget: { usd: 2.5, tokens: 90000 },
      deadline: '2030-01-01T00:00:00Z',
      scenario: 'name: x',
    },
  });
  expect(err).toContain('warning: It is dirty.');
  for (const said of [
    'completed after 42 s',
    'nexus/shop-abc123',
    '/repositories/shop',
    'git branch -D',
    'npm start',
  ]) {
    expect(out).toContain(said);
  }
});

test('a URL or an ssh address stays as it is; what is not given is not sent', async () => {
  const { url, calls } = await gateway(submitting);
  for (const repo of ['https://example.com/a.git', 'git@example.com:team/shop.git']) {
    await nexus(['run', 'x', '--repo', repo, '--detach'], url);
    expect(calls.at(-1)?.body).toEqual({ request: 'x', repository: repo });
  }
});

test('an agent that is named relative to where one stands is named in full; all else stays as it is', async () => {
  const { url, calls } = await gateway(submitting);
  for (const [typed, sent] of [
    ['./package.json --quiet', `${resolve('package.json')} --quiet`],
    ['./does-not-exist', './does-not-exist'],
    ['my-agent ./x', 'my-agent ./x'],
  ] as const) {
    await nexus(['run', 'x', '--agent-command', typed, '--detach'], url);
    expect(calls.at(-1)?.body).toEqual({ request: 'x', agent_command: sent });
  }
});

test('with --json a command prints one document and nothing else on standard output', async () => {
  const { url } = await gateway(submitting);
  const { out, code } = await nexus(['run', 'x', '--json'], url);
  expect(code).toBe(0);
  expect(out.trimEnd().split('\n')).toHaveLength(1);
  expect(JSON.parse(out)).toMatchObject({ task_id: 'shop-abc123', status: 'completed' });
});

test('a task that failed ends with exit code 1 and its reason', async () => {
  const failed = { ...ended, status: 'failed', reason: 'SUBTASK_FAILED: store failed', result: null, report_url: null };
  const { url } = await gateway(({ method, path }, response) => {
    if (path.startsWith('/api/events')) return;
    response.end(JSON.stringify(method === 'POST' ? { task_id: 'shop-abc123', warnings: [] } : failed));
  });
  const { code, out } = await nexus(['run', 'x'], url);
  expect(code).toBe(exitCodes.failed.code);
  expect(out).toContain('SUBTASK_FAILED: store failed');
  expect(out).toContain('nexus logs shop-abc123');
});

test('of a task that failed, the line is printed that brings what was merged', async () => {
  const kept = { hub: '/home of/x.git', ref: 'refs/nexus/shop-abc123/integration', commit: 'f'.repeat(40) };
  const failed = { ...ended, status: 'failed', reason: 'no', result: null, kept, repository: home };
  const { url } = await gateway((_call, response) => response.end(JSON.stringify(failed)));
  const { out } = await nexus(['task', 'shop-abc123'], url);
  expect(out).toContain(`git -C ${home} fetch '/home of/x.git' ${kept.ref}:refs/heads/nexus/shop-abc123`);
});

test('what the fleet refuses is exit code 3 with its sentence; no fleet is 69 and how to start one', async () => {
  const detail = 'There is no workflow "x". There are: feature.';
  const { url } = await gateway((_call, response) => {
    response.statusCode = 422;
    response.end(JSON.stringify({ type: 'about:blank', title: 'No', status: 422, code: 'WORKFLOW_UNKNOWN', detail }));
  });
  const refused = await nexus(['run', 'y', '--workflow', 'x', '--json'], url);
  expect(refused.code).toBe(exitCodes.refused.code);
  expect(JSON.parse(refused.out).error).toMatchObject({ code: 'WORKFLOW_UNKNOWN', says: detail });

  const alone = await nexus(['run', 'y'], nobody);
  expect(alone.code).toBe(exitCodes.unavailable.code);
  expect(alone.err).toContain('nexus up');
});

for (const words of [
  ['rum'],
  ['run'],
  ['run', 'x', '--runtime', 'a', '--agent-command', 'b'],
  ['run', 'x', '--workflow', 'a', '--roles', 'b'],
  ['run', 'x', '--mode', 'sideways'],
  ['run', 'x', '--analyst', 'maybe'],
  ['run', 'x', '--scenario', '/does/not/exist'],
  ['tasks', '--limit', '0'],
  ['up', '--port', '99999'],
  ['run', 'x', '--check-timeout', '5m'],
  ['run', 'x', '--check', 'a', '--check-timeout', '3h'],
  ['run', 'x', '--check', 'a', '--check-timeout', 'soon'],
  ['stop'],
  ['stop', '--all', '--task', 'x'],
  ['stop', '--task', 'x', '--local'],
  ['pause'],
  ['drain', '--agent', 'a', '--service', 'b'],
  ['resume'],
  ['retry'],
  ['dlq', 'show'],
]) {
  test(`\`nexus ${words.join(' ')}\` is a mistake in the command line`, async () => {
    const { code, err } = await nexus(words, nobody);
    expect(code).toBe(exitCodes.usage.code);
    expect(err).toMatch(/^nexus: /);
  });
}

test('the version is told, and an address that is none is a wrong setting', async () => {
  const { code, out } = await nexus(['--version'], nobody);
  expect([code, out]).toEqual([0, expect.stringMatching(/^\d+\.\d+\.\d+\n$/)]);
  const wrong = await nexus(['status'], 'nonsense');
  expect(wrong.code).toBe(exitCodes.config.code);
  expect(wrong.err).toContain('NEXUS_URL is "nonsense": expected an address such as http://127.0.0.1:8080');
});

test('help names every verb, examples, settings and exit codes', async () => {
  const { code, out } = await nexus(['--help'], nobody);
  expect(code).toBe(0);
  const said = [
    'up',
    'down',
    'run',
    'tasks',
    'task',
    'status',
    'logs',
    'agents',
    'stop',
    'pause',
    'drain',
    'resume',
  ].concat(['retry', 'cancel', 'dlq']);
  for (const word of [...said, 'token', 'doctor', 'NEXUS_URL', 'NEXUS_TOKEN', 'Examples:']) expect(out).toContain(word);
  for (const { code: number } of Object.values(exitCodes)) expect(out).toContain(String(number));
  for (const verb of [...said, 'token', 'doctor'])
    expect((await nexus([verb, '--help'], nobody)).out).toMatch(/Example/);
});

const waits = {
  subtask_id: 'page',
  since: '2027-01-01T00:00:10Z',
  until: '2027-01-08T00:00:10Z',
  reason: 'Which colour?',
};
const waitingTask = { ...ended, status: 'waiting_for_person', ended_at: null, result: null, waiting: [waits] };
/** A gateway whose task waits for a person at the first looks, and is completed then. */
const waitingFirst = (looks: number): Answer => {
  let looked = 0;
  return (call, response) => {
    if (call.method === 'POST' || call.path.startsWith('/api/events')) return submitting(call, response);
    looked += 1;
    response.end(JSON.stringify(looked > looks ? ended : waitingTask));
  };
};

test('run without a terminal ends when its task waits for a person: what waits, and what answers it', async () => {
  const { url } = await gateway(waitingFirst(Number.POSITIVE_INFINITY));
  const { code, out } = await nexus(['run', 'x'], url);
  expect(code).toBe(4);
  expect(out).toContain('shop-abc123 waits for a person about page');
  expect(out).toContain('Which colour?');
  expect(out).toContain('nexus retry shop-abc123 --subtask page');

  const json = await nexus(['run', 'x', '--json'], url);
  expect(json.code).toBe(exitCodes.waiting.code);
  expect(JSON.parse(json.out)).toMatchObject({ status: 'waiting_for_person', waiting: [{ subtask_id: 'page' }] });
  expect(json.err).toContain('nexus retry shop-abc123 --subtask page');
});

test('run goes on following a task that waits for a person with --wait, and on a terminal', async () => {
  const asked = await gateway(waitingFirst(2));
  expect((await nexus(['run', 'x', '--wait'], asked.url)).code).toBe(0);
  const watched = await gateway(waitingFirst(2));
  const { code, out } = await nexus(['run', 'x'], watched.url, { terminal: { columns: 0, rows: 0 } });
  expect(code).toBe(0);
  // A terminal that tells no width is taken for one of the usual width.
  expect(stripVTControlCharacters(out)).toContain('shop-abc123  waiting for person');
});

test('logs that follow begin with the task, and leave out what was shown from its evidence', async () => {
  const said = (attempt: number, text: string) => ({
    event: 'agent.output',
    task_id: 'x',
    subtask_id: 'page',
    attempt,
    text,
  });
  const evidence = { ref: 'refs/nexus/shop-abc123/evidence/page-1', path: 'output.log' };
  const log = {
    subtask_id: 'page',
    title: 'The page',
    agent_id: 'a',
    evidence,
    text: 'first try',
    truncated: false,
    says: '',
  };
  let heard = false;
  const { url, calls, headers } = await gateway(({ path }, response) => {
    if (path.includes('/logs')) {
      response.end(JSON.stringify({ task_id: 'shop-abc123', logs: [log] }));
      return;
    }
    if (!path.startsWith('/api/events')) {
      response.end(JSON.stringify(heard ? ended : { ...ended, status: 'in_progress', ended_at: null }));
      return;
    }
    const events = [said(1, 'first try'), said(2, 'second try')].map((body, at) => ({
      id: `${at}-0`,
      kind: 'event',
      body,
    }));
    response.end(events.map((event) => `data: ${JSON.stringify(event)}\n\n`).join(''));
    heard = true;
  });
  const { code, out } = await nexus(['logs', 'shop-abc123', '-f'], url);
  expect(code).toBe(0);
  expect(out.match(/first try/g)).toHaveLength(1);
  expect(out).toContain('page | second try');
  const began = Date.parse(ended.created_at);
  const events = calls.findIndex(({ path }) => path.startsWith('/api/events'));
  expect(headers[events]?.['last-event-id']).toBe(`${began - 60_000}-0`);
});

test.each([[['run', 'x']], [['logs', 'shop-abc123', '-f']]])(
  '%j tells once how much of a budget is used',
  async (typed) => {
    let heard = false;
    const { url } = await gateway(({ method, path }, response) => {
      if (path.startsWith('/api/events')) {
        const text = '81 % of the budget of the task shop-abc123 are used: 0.81 of 1 USD';
        const body = { event: 'budget.near', task_id: 'shop-abc123', subtask_id: 'page', attempt: 1, text };
        response.end(heard ? '' : `data: ${JSON.stringify({ id: '1-0', kind: 'event', body })}\n\n`);
        heard = true;
        return;
      }
      const logs = path.includes('/logs') && { task_id: 'shop-abc123', logs: [] };
      const running = { ...ended, status: 'in_progress', ended_at: null, result: null };
      const task = heard ? ended : running;
      response.end(JSON.stringify(logs || (method === 'POST' ? { task_id: 'shop-abc123', warnings: [] } : task)));
    });
    const { out } = await nexus(typed, url);
    expect(out.match(/81 % of the budget of the task shop-abc123 are used: 0.81 of 1 USD\n/g)).toHaveLength(1);
  },
);

test('of an ended task without logs nobody is told to look while it runs', async () => {
  let task: unknown = ended;
  const { url } = await gateway(({ path }, response) => {
    response.end(JSON.stringify(path.includes('/logs') ? { task_id: 'shop-abc123', logs: [] } : task));
  });
  expect((await nexus(['logs', 'shop-abc123'], url)).out).toBe('No agent of shop-abc123 has left a log.\n');
  task = { ...ended, status: 'in_progress' };
  expect((await nexus(['logs', 'shop-abc123'], url)).out).toContain('While it runs: nexus logs shop-abc123 -f');
});

test('Ctrl-C ends the following, not the task, and says how to go on', async () => {
  const ending = new AbortController();
  const { url, calls } = await gateway(({ method, path }, response) => {
    if (path.startsWith('/api/events')) return;
    if (method === 'GET') setTimeout(() => ending.abort('SIGINT'), 50);
    const running = { ...ended, status: 'in_progress', ended_at: null, result: null };
    response.end(JSON.stringify(method === 'POST' ? { task_id: 'shop-abc123', warnings: [] } : running));
  });
  const { code, err } = await nexus(['run', 'x'], url, { signal: ending.signal });
  expect(code).toBe(130);
  expect(err).toContain('nexus cancel shop-abc123');
  expect(calls.filter(({ method }) => method !== 'GET')).toHaveLength(1);
});

test('an answer that is no NEXUS is said, not shown as a stack', async () => {
  const { url } = await gateway((_call, response) => {
    response.statusCode = 404;
    response.end('<html>nginx</html>');
  });
  const { code, err } = await nexus(['tasks'], url);
  expect(code).toBe(exitCodes.refused.code);
  expect(err).toContain('something that is not NEXUS');
  expect(err).not.toContain('    at ');
});
