/**
 * Memory over time: small tasks one after the other, each deleted when it has ended, so that nothing has a reason to
 * grow. After the first third, which warms up, the last third may not need more than the second.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { figure, median, shown } from './figures.ts';
import { memoryOf } from './process-cost.ts';
import { type MeasuredFleet, type ReliabilityPart, withRealFleet } from './reliability-part.ts';

const everyMs = 2000;
/** In a minute or two nothing is warm: a short run only shows that nothing runs away. */
const mostIn = (minutes: number): number => (minutes >= 15 ? 1 : 30);
/** Tasks that are open at a time: as many as a busy day has in half an hour. */
const lanes = 3;

type Samples = Map<string, number[]>;

export const memory: ReliabilityPart = async (bench) => {
  // What is kept up to a limit by design reaches it while it warms up.
  const settings = { NEXUS_JOURNAL_MAX: '1000', NEXUS_MEMORIES_MAX: '100' };
  return withRealFleet(bench, { settings }, async (fleet) => {
    const until = performance.now() + bench.minutes * 60_000;
    const samples: Samples = new Map();
    let tasks = 0;
    const lane = async (): Promise<void> => {
      while (performance.now() < until && !bench.signal.aborted) {
        await playTask(fleet, bench.signal);
        tasks += 1;
      }
    };
    const watch = async (): Promise<void> => {
      for (; performance.now() < until; await sleep(everyMs, undefined, { signal: bench.signal }))
        await sample(fleet, samples);
    };
    await Promise.all([watch(), ...Array.from({ length: lanes }, lane)]);
    const rows = [...samples].map(([name, values]) => ({ name, ...growthOf(values) }));
    const worst = Math.max(...rows.map(({ growth }) => growth));
    return {
      figures: [
        figure(`memory after ${tasks} tasks in ${bench.minutes} min, the most that anything grew`, '%', [worst], {
          atMost: mostIn(bench.minutes),
        }),
      ],
      where: rows.map(
        ({ name, from, to, growth }) =>
          `${name.padEnd(16)} ${shown(from, 'MB')} → ${shown(to, 'MB')}  ${shown(growth, '%')}`,
      ),
      data: { tasks, samples: Object.fromEntries(samples) },
    };
  });
};

const playTask = async ({ client, server, prefix }: MeasuredFleet, signal: AbortSignal): Promise<void> => {
  const agent_command = 'cat > /dev/null; echo "made by $$" > "$NEXUS_SUBTASK.txt"';
  const { task_id } = await client.submit({ request: 'A small thing', roles: ['builder', 'builder'], agent_command });
  for (;;) {
    const status = await server.redis.hget(`${prefix}:task:${task_id}`, 'status');
    if (status === 'completed') break;
    if (status !== null && ['failed', 'cancelled', 'waiting_for_person'].includes(status)) {
      throw new Error(`${task_id} is ${status}: ${(await client.task(task_id)).reason}`);
    }
    await sleep(100, undefined, { signal });
  }
  await client.remove(task_id);
};

const sample = async ({ supervisor, server }: MeasuredFleet, samples: Samples): Promise<void> => {
  const add = (name: string, value: number): void => void samples.set(name, [...(samples.get(name) ?? []), value]);
  for (const one of supervisor.all) add(one.name, memoryOf(one.pid()).anonymous);
  const info = await server.redis.info('memory');
  add('redis', Number(/used_memory:(\d+)/.exec(info)?.[1] ?? Number.NaN) / 1e6);
};

const growthOf = (values: readonly number[]): { from: number; to: number; growth: number } => {
  const third = Math.floor(values.length / 3);
  const [from, to] = [median(values.slice(third, 2 * third)), median(values.slice(2 * third))];
  return { from, to, growth: 100 * (to / from - 1) };
};
