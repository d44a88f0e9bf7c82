import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { programOf } from './runtimes/command.ts';
import { chooseRuntime, loadRuntimes, lookAtRuntimes, type Runtime, type RuntimeContext } from './runtimes.ts';

const runtime = (name: string, usable: boolean): Runtime => ({
  name,
  capabilities: { resume: false, cost: false },
  usable: async () => ({ usable, looked: `${name} was looked at`, mend: usable ? '' : `mend ${name}` }),
  run: async () => Promise.reject(new Error('not run here')),
  resume: async () => Promise.reject(new Error('not run here')),
});
const among = (...runtimes: Runtime[]) => new Map(runtimes.map((one) => [one.name, one]));
const context: RuntimeContext = { agentCommand: null, rehearsal: false, task: null };

describe('the choice of a runtime', () => {
  const both = among(runtime('claude-code', false), runtime('command', true), runtime('scripted', true));

  test('follows the first wish', async () => {
    expect((await chooseRuntime(both, [null, undefined, 'scripted', 'command'], context)).name).toBe('scripted');
  });

  test('takes the first usable one where nobody wishes, and never rehearses by itself', async () => {
    expect((await chooseRuntime(both, [null, 'auto'], context)).name).toBe('command');
    const rehearsalOnly = among(runtime('command', false), runtime('scripted', true));
    await expect(chooseRuntime(rehearsalOnly, ['auto'], context)).rejects.toMatchObject({ code: 'NO_RUNTIME' });
  });

  test('takes no other one than was wished for: NO_RUNTIME says what was looked for and what mends it', async () => {
    const refused = chooseRuntime(both, ['claude-code'], context);
    await expect(refused).rejects.toMatchObject({
      code: 'NO_RUNTIME',
      message: expect.stringMatching(/claude-code was looked at.*mend claude-code/),
    });
  });

  test('RUNTIME_UNKNOWN names those there are', async () => {
    const refused = chooseRuntime(both, ['cluade-code'], context);
    await expect(refused).rejects.toMatchObject({
      code: 'RUNTIME_UNKNOWN',
      message: expect.stringContaining('command'),
    });
  });

  test('says which ones are for those who ask for them: all but the one that is set', async () => {
    const look = (runtime: string) => lookAtRuntimes(both, { ...context, settings: { runtime } });
    expect((await look('command')).map(({ name, only_asked = false }) => [name, only_asked])).toEqual([
      ['claude-code', true],
      ['command', false],
      ['scripted', true],
    ]);
    expect((await look('auto')).some(({ only_asked }) => only_asked)).toBe(false);
  });

  test('survives a runtime whose look fails', async () => {
    const broken = { ...runtime('command', true), usable: async () => Promise.reject(new Error('no /proc')) };
    expect(await lookAtRuntimes(among(broken), context)).toMatchObject([
      { name: 'command', usable: false, looked: expect.stringContaining('no /proc') },
    ]);
  });
});

describe('the loader', () => {
  let folder: string;
  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), 'nexus-runtimes-'));
  });
  afterEach(() => rmSync(folder, { recursive: true, force: true }));
  const good = (name: string) =>
    `export const runtime = { name: '${name}', capabilities: { resume: false, cost: false },
       usable() {}, run() {}, resume() {} };`;

  test('finds every runtime of the project, those with a model first, scripted last', async () => {
    expect([...(await loadRuntimes()).keys()]).toEqual(['claude-code', 'openai', 'command', 'scripted']);
  });

  test('finds a new file without any other edit, and puts preferred names first', async () => {
    for (const name of ['aardvark', 'openai', 'command']) writeFileSync(join(folder, `${name}.ts`), good(name));
    expect([...(await loadRuntimes(folder)).keys()]).toEqual(['openai', 'command', 'aardvark']);
  });

  test.each([
    ['without a runtime', 'export const something = 1;', /runtime/],
    ['without a function', good('mine').replace('run() {}', 'run: 7'), /run/],
    ['that calls itself otherwise', good('other'), /"other"/],
    ['that can nudge but says so nowhere', good('mine').replace('run() {}', 'run() {}, nudge() {}'), /nudge/],
    ['that says it can nudge and cannot', good('mine').replace('cost: false', 'cost: false, nudge: true'), /nudge/],
  ])('DEFINITION_INVALID: refuses a file %s, by its name', async (_, text, pattern) => {
    writeFileSync(join(folder, 'mine.ts'), text);
    const refused = loadRuntimes(folder);
    await expect(refused).rejects.toMatchObject({
      code: 'DEFINITION_INVALID',
      message: expect.stringMatching(pattern),
    });
    await expect(refused).rejects.toThrow('runtimes/mine.ts');
  });
});

describe('an agent command', () => {
  test.each([
    ['claude -p --flag', 'claude'],
    ['DEBUG=1 LANG=C aider --yes', 'aider'],
    ['/opt/agents/run.sh "a b"', '/opt/agents/run.sh'],
    ['"/opt/my agent/run" --x', '/opt/my agent/run'],
    ['./agent.sh', './agent.sh'],
    ['cd x && agent', null],
    ['$AGENT --x', null],
    ['(sleep 1)', null],
    ['n=$(git rev-parse HEAD) agent', null],
    ['TEXT="a b" agent', null],
    ['', null],
  ])('%s starts %s', (command, program) => {
    expect(programOf(command)).toBe(program);
  });

  const look = async (agentCommand: string | null) => {
    const command = (await loadRuntimes()).get('command') as Runtime;
    return command.usable({ ...context, agentCommand });
  };

  test('is looked up on the path', async () => {
    expect(await look('sh -c true')).toMatchObject({ usable: true, looked: expect.stringMatching(/\/sh$/) });
    expect(await look('no-such-agent --yes')).toMatchObject({
      usable: false,
      mend: expect.stringContaining('no-such-agent'),
    });
    expect(await look('/no/such/agent')).toMatchObject({
      usable: false,
      mend: expect.stringMatching(/correct the path$/),
    });
    expect(await look(null)).toMatchObject({ usable: false, mend: expect.stringContaining('NEXUS_AGENT_COMMAND') });
  });

  test('of the task wins over that of the fleet', async () => {
    const command = (await loadRuntimes()).get('command') as Runtime;
    const task = { agent_command: 'no-such-agent' };
    expect(await command.usable({ ...context, agentCommand: 'sh', task })).toMatchObject({ usable: false });
  });
});
