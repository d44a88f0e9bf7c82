/** STOP_ALL with many agents, each with grandchildren that left its process group; and RESUME_ALL. */
import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import { markedProcesses } from '../../test/chaos/check-machine.ts';
import { figure } from './figures.ts';
import { type MeasuredFleet, type ReliabilityPart, until, withRealFleet } from './reliability-part.ts';

export const stop: ReliabilityPart = async (bench) => {
  const [workers, slots] = bench.full ? [5, 10] : [2, 4];
  const agents = workers * slots;
  // The limit of agents is the machine's, not the worker's.
  const settings = { NEXUS_SLOTS: String(slots), NEXUS_AGENTS_MAX: String(agents) };
  return withRealFleet(bench, { counts: { 'worker-agent': workers }, settings }, async (fleet) => {
    const agent_command = [
      'cat > /dev/null',
      'echo work > work.txt',
      'setsid sh -c "sleep 600 & sleep 600" & setsid sleep 600 &',
      `echo "began $(date +%s%3N)" >> ${fleet.told}`,
      'exec sleep 600',
    ]
      .join('; ')
      .replaceAll('&;', '&');
    for (let at = 1; at <= agents; at += 1) {
      await fleet.client.submit({ request: `Agent ${at}`, roles: ['builder'], agent_command });
    }
    await until(`${agents} agents run`, () => fleet.lines().length >= agents, { ...bench, withinMs: 300_000 });
    const processes = markedProcesses(fleet.prefix).length;
    bench.say(`stop: ${agents} agents run, ${processes} processes`);
    const seconds = await stopAll(fleet, agents, bench.signal);
    const before = fleet.lines().length;
    const resumed = Date.now();
    await say(fleet, 'RESUME_ALL');
    const line = await until('an agent runs again', () => fleet.lines()[before], bench);
    const again = (Number(line[1]) - resumed) / 1000;
    return {
      figures: [
        figure(`STOP_ALL, ${agents} agents: all dead`, 's', [seconds.dead], { atMost: 2 }),
        figure(`STOP_ALL, ${agents} agents: confirmed by all workers`, 's', [seconds.confirmed], { atMost: 3 }),
        figure(`STOP_ALL, ${agents} agents: all checkpointed`, 's', [seconds.checkpointed], { atMost: 15 }),
        figure('RESUME_ALL to the first agent', 's', [again], { atMost: 2 }),
      ],
      where: [`${agents} agents of ${workers} workers, ${processes} processes with their marks`],
      data: { ...seconds, again, processes },
    };
  });
};

const say = (fleet: MeasuredFleet, word: string): Promise<unknown> =>
  promisify(execFile)('redis-cli', ['-p', String(fleet.server.port), 'PUBLISH', fleet.channel, word]);

/** From the word on the channel: until no process bears a mark, every worker says so, every agent's work is saved. */
const stopAll = async (fleet: MeasuredFleet, agents: number, signal: AbortSignal) => {
  const began = performance.now();
  const said = Date.now();
  const since = (): number => (performance.now() - began) / 1000;
  await say(fleet, 'STOP_ALL');
  const dead = async (): Promise<number> => {
    await until('every agent is dead', () => markedProcesses(fleet.prefix).length === 0, { signal, everyMs: 10 });
    return since();
  };
  const confirmed = async (): Promise<number> => {
    await until('every worker has confirmed', () => allConfirmed(fleet), { signal });
    return since();
  };
  const checkpointed = async (): Promise<number> => {
    await until('every agent is checkpointed', async () => (await checkpoints(fleet, said)) >= agents, {
      signal,
      everyMs: 50,
    });
    return since();
  };
  const [first, second, third] = await Promise.all([dead(), confirmed(), checkpointed()]);
  return { dead: first, confirmed: second, checkpointed: third };
};

const allConfirmed = async ({ server, prefix }: MeasuredFleet): Promise<boolean> => {
  const [state, told] = await Promise.all([
    server.redis.hgetall(`${prefix}:control`),
    server.redis.hvals(`${prefix}:presence`),
  ]);
  const workers = told.map((text) => JSON.parse(text)).filter(({ service }) => service === 'worker-agent');
  return state.state === 'stopped' && workers.every((one) => String(one.confirmed_epoch) === state.epoch);
};

/** Attempts whose work was saved since then. */
const checkpoints = async ({ server, prefix }: MeasuredFleet, sinceMs: number): Promise<number> => {
  const keys = await server.redis.keys(`${prefix}:attempt:*`);
  const texts = await Promise.all(keys.map((key) => server.redis.hget(key, 'checkpoint')));
  const saved = texts.map((text) => (text ? (JSON.parse(text) as { at: string; commit: string | null } | null) : null));
  return saved.filter((one) => one !== null && one.commit !== null && Date.parse(one.at) >= sinceMs).length;
};
