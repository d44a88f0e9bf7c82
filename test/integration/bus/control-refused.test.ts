/** Words on the control channel that cannot be meant: nobody can answer there, so it is told elsewhere, once. */
import type { Bus } from '@nexus/shared/bus';
import type { Log } from '@nexus/shared/telemetry';
import { expect, test } from 'vitest';
import { openHome, runNexus } from '../../tools/cli.ts';
import { eventually } from '../../tools/eventually.ts';
import { type TestFabric, testFabric } from '../../tools/redis.ts';

/** Three services that listen; the project manager among them tells which agents there are. */
const listen = async (fabric: TestFabric) => {
  const said: string[] = [];
  const write = (about: { text?: string; code?: string }): void => void said.push(`${about.code} ${about.text}`);
  const quiet = () => undefined;
  const log = { warn: write, info: quiet, debug: quiet, error: quiet } as unknown as Log;
  const buses: Bus[] = [];
  for (const service of ['worker-agent', 'project-manager', 'finalizer'] as const)
    buses.push(await fabric.open(service, { log }));
  const [bus, manager] = buses as [Bus, Bus, Bus];
  manager.present({ agents: ['aria', 'builder'] });
  await eventually('the agents are told', async () =>
    (await bus.presences()).some(({ agents }) => agents?.length === 2),
  );
  const say = (word: string | object): Promise<number> =>
    fabric.redis.publish(fabric.config.controlChannel, typeof word === 'string' ? word : JSON.stringify(word));
  const refused = (code: string) =>
    eventually(`${code} is noted`, async () => {
      const last = (await bus.control.read()).refused;
      return last?.code === code ? last.says : null;
    });
  return { bus, buses, said, say, refused };
};

test('a word that cannot be meant changes nothing, and is told by one line, a note and an event', async () => {
  const fabric = testFabric();
  const { bus, said, say, refused } = await listen(fabric);
  const { keys } = bus;
  const end = new AbortController();
  const journal = bus.follow({ signal: end.signal });
  const told = journal.next();
  await fabric.redis.hset(keys.task('long-gone-abc123'), 'status', 'completed');
  const words: [string, object | string, string][] = [
    ['CONTROL_UNKNOWN', 'STOP_AL', 'There is no control word "STOP_AL"'],
    ['CONTROL_SCOPE', { command: 'STOP_ALL', task: 'x' }, '"task" stands beside "scope", not in it'],
    ['CONTROL_TARGET', { command: 'STOP_ALL', scope: { agent: 'bob' } }, 'There are: aria, builder.'],
    ['TASK_UNKNOWN', { command: 'STOP_ALL', scope: { task: 'nowhere-abc123' } }, 'There is no task nowhere-abc123.'],
    ['CONTROL_UNKNOWN', { command: 'HALT' }, 'There is no control word "HALT"'],
    ['TASK_ENDED', { command: 'PAUSE_ALL', scope: { task: 'long-gone-abc123' } }, 'has already ended: completed'],
    ['CONTROL_TARGET', { command: 'DRAIN', scope: { service: 'worker' } }, 'There is no service "worker"'],
    ['CONTROL_SCOPE', { command: 'STOP_ALL', scope: { colour: 'red' } }, '"colour" is no kind of part'],
    ['CONTROL_TARGET', { command: 'STOP_ALL', scope: { instance: 'gone' } }, bus.instanceId],
    ['CONTROL_SCOPE', { command: 'STOP_ALL', scope: { task: 'a', agent: 'b' } }, 'one part, and one only'],
    ['CONTROL_IDLE', 'RESUME_ALL', 'the fleet is not held. No part is held by itself.'],
    ['CONTROL_SCOPE', { command: 'STOP_ALL', scope: 'all' }, 'it is an object'],
    ['CONTROL_IDLE', { command: 'RESUME_ALL', scope: { agent: 'aria' } }, 'agent aria is not held'],
  ];
  for (const [code, word, says] of words) {
    await say(word);
    expect(await refused(code)).toContain(says);
  }
  expect(said).toEqual(
    words.map(([code, word]) => `${code} ${typeof word === 'string' ? word : JSON.stringify(word)}`),
  );
  expect(await fabric.redis.exists(keys.control, keys.controlSaid)).toBe(0);
  expect((await told).value?.body).toMatchObject({ event: 'control.refused', data: { text: 'STOP_AL' } });
  end.abort();
  await journal.return(undefined);
});

test('what exists is held and let go by the channel, and whoever hears a RESUME second refuses nothing', async () => {
  const fabric = testFabric();
  const { bus, buses, said, say } = await listen(fabric);
  await fabric.redis.hset(bus.keys.task('shop-abc123'), 'status', 'in_progress');
  const scopes = async () => (await bus.control.read()).scopes;
  for (const scope of [
    { task: 'shop-abc123' },
    { agent: 'aria' },
    { service: 'finalizer' },
    { instance: bus.instanceId },
  ]) {
    const [kind, id] = Object.entries(scope)[0] ?? [];
    await say({ command: 'PAUSE_ALL', scope });
    await eventually('it is held', async () => (await scopes())[`${kind}:${id}`] === 'paused');
    await say({ command: 'RESUME_ALL', scope });
    await eventually('it is held no more', async () => Object.keys(await scopes()).length === 0);
  }
  for (const word of ['PAUSE_ALL', 'STOP_ALL', 'DRAIN']) {
    const is = { PAUSE_ALL: 'paused', STOP_ALL: 'stopped', DRAIN: 'draining' }[word];
    const all = (state?: string) => buses.every(({ control }) => control.known().state === state);
    await eventually(`${word} is obeyed`, async () => (await say(word)) > 0 && all(is));
    await eventually('it is resumed', async () => {
      // Who is deaf for a moment after a refused word hears the next.
      if ((await bus.control.read()).state !== 'running') await say('RESUME_ALL');
      return all('running');
    });
  }
  // A word that is refused after all of them: what was to be said of them would have been said before.
  await say('NOTHING');
  await eventually('it is refused', () => said.length > 0);
  expect(said).toEqual(['CONTROL_UNKNOWN NOTHING']);
});

test('a status shows the last refused words, and what a person wrote into it cannot reach the terminal', async () => {
  const fabric = testFabric();
  const { say, refused } = await listen(fabric);
  for (const number of [1, 2, 3, 4, 5]) await say({ command: 'STOP_ALL', scope: { number } });
  await say({ command: 'STOP_ALL', scope: { agent: 'bob' } });
  await refused('CONTROL_TARGET');
  await say('STOP\u001b[31m\nALL');
  await refused('CONTROL_UNKNOWN');
  const { redisUrl: REDIS_URL, prefix: NEXUS_PREFIX, controlChannel: NEXUS_CONTROL_CHANNEL } = fabric.config;
  const env = { REDIS_URL, NEXUS_PREFIX, NEXUS_CONTROL_CHANNEL };
  const { out } = await runNexus(openHome(), ['status'], 'http://127.0.0.1:1', { env });
  expect(out).toMatch(/refused .* ago, said on the control channel: STOP/);
  expect(out).toContain('Known: STOP_ALL, PAUSE_ALL, RESUME_ALL, DRAIN.');
  expect(out).not.toContain('\u001b[31m');
  expect(out).toContain('There are: aria, builder.');
  expect(out.match(/said on the control channel/g)).toHaveLength(5);
});
