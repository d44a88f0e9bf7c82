/** The fleet as processes: how fast it starts and ends, what it costs idle, how soon and how parallel agents run. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { type BenchFleet, completed, openFleet, withFleet } from './bench-fleet.ts';
import { figure, median, shown } from './figures.ts';
import type { Part } from './part.ts';
import { cpuMsOf, type Memory, memoryOf } from './process-cost.ts';

/** Spawn → every `/ready`, and SIGTERM → exited. The first start of all has no compile cache yet. */
export const start: Part = async (bench) => {
  const [ready, stopped]: [number[], number[]] = [[], []];
  for (let round = 1; round <= bench.rounds; round += 1) {
    const opened = await openFleet(bench.server);
    ready.push(opened.readyMs / 1000);
    stopped.push((await opened.stop()) / 1000);
    const [upAfter, goneAfter] = [shown(ready.at(-1) ?? 0, 's'), shown(stopped.at(-1) ?? 0, 's')];
    bench.say(`start, round ${round} of ${bench.rounds}: ready after ${upAfter}, gone after ${goneAfter}`);
  }
  return {
    figures: [
      figure('fleet ready (six services)', 's', ready, { atMost: 5 }),
      figure('SIGTERM to exited (idle fleet)', 's', stopped, { atMost: 5 }),
    ],
    where: [],
    data: { ready_s: ready, stopped_s: stopped },
  };
};

const settleMs = 5000;
const idleMs = 20_000;

type Idle = { name: string; memory: Memory; cpu_percent: number };

/** Memory and CPU of every service while nothing is to be done. */
export const idle: Part = async (bench) =>
  withFleet(bench.server, 1, async ({ fleet }) => {
    const { processes } = fleet.state;
    bench.say(`idle: looking at ${processes.length} processes for ${idleMs / 1000} s`);
    await sleep(settleMs);
    const before = processes.map(({ pid }) => cpuMsOf(pid));
    const began = performance.now();
    await sleep(idleMs);
    const passedMs = performance.now() - began;
    const found = processes.map(({ name, pid }, at): Idle => {
      const cpu_percent = ((cpuMsOf(pid) - (before[at] ?? 0)) / passedMs) * 100;
      return { name, memory: memoryOf(pid), cpu_percent };
    });
    const worst = (read: (one: Idle) => number): number => Math.max(...found.map(read));
    return {
      figures: [
        figure('idle memory of the largest service (PSS)', 'MB', [worst(({ memory }) => memory.pss)], { atMost: 90 }),
        figure('idle CPU of the busiest service', '%', [worst(({ cpu_percent }) => cpu_percent)], { atMost: 1 }),
      ],
      where: found.map(({ name, memory, cpu_percent }) => {
        const [pss, own] = [shown(memory.pss, 'MB'), shown(memory.own, 'MB')];
        return `${name.padEnd(16)} PSS ${pss}, of its own ${own}, CPU ${shown(cpu_percent, '%')}`;
      }),
      data: { services: found },
    };
  });

const agentMs = 10_000;
const side = ['first', 'second', 'third'];

/** Request → first agent running, and three agents of ten seconds side by side. */
export const agents: Part = async (bench) => {
  const [firsts, spans]: [number[], number[]] = [[], []];
  for (let round = 1; round <= bench.rounds; round += 1) {
    const { firstMs, spanMs } = await withFleet(bench.server, 1, playAgents);
    firsts.push(firstMs / 1000);
    spans.push(spanMs / 1000);
    const [first, three] = [shown(firstMs / 1000, 's'), shown(spanMs / 1000, 's')];
    bench.say(`agents, round ${round} of ${bench.rounds}: the first after ${first}, three took ${three}`);
  }
  return {
    figures: [
      figure('request to first agent running', 's', firsts, { atMost: 2 }),
      figure('three agents of 10 s side by side', 's', spans, { atMost: 11 }),
    ],
    where: [`median of ${bench.rounds}: ${shown(median(spans) - agentMs / 1000, 's')} more than one agent takes`],
    data: { first_s: firsts, three_s: spans },
  };
};

/** Agents say themselves when they began and ended: in a file, by the clock on the wall. */
const playAgents = async ({ client, folder }: BenchFleet): Promise<{ firstMs: number; spanMs: number }> => {
  const told = join(folder, 'told');
  const asked = Date.now();
  const { task_id } = await client.submit({
    request: 'Write three files, each by an agent of its own.',
    workflow: 'simple',
    mode: 'parallel',
    agent_command: agentCommand(told),
  });
  await completed(client, task_id);
  const lines = readFileSync(told, 'utf8').trim().split('\n');
  const at = (what: string): number[] =>
    lines.flatMap((line) => {
      const [role = '', word = '', ms = ''] = line.split(' ');
      return `${role} ${word}` === what ? [Number(ms)] : [];
    });
  const [began, ended] = [at('builder began'), at('builder ended')];
  if (began.length !== side.length) throw new Error(`${began.length} agents ran, and not ${side.length}`);
  return { firstMs: Math.min(...at('planner began')) - asked, spanMs: Math.max(...ended) - Math.min(...began) };
};

/** A planner that leaves three independent subtasks, and builders that take ten seconds each. */
const agentCommand = (told: string): string => {
  const subtasks = side.map((id) => ({ id, title: `The ${id} file`, role: 'builder', goal: 'Write it.' }));
  const stamp = (word: string): string => `echo "$NEXUS_ROLE ${word} $(date +%s%3N)" >> ${told}`;
  const plan = `mkdir -p .nexus && printf %s '${JSON.stringify({ subtasks })}' > .nexus/plan.json`;
  const build = `sleep ${agentMs / 1000}; ${stamp('ended')}; echo written > "$NEXUS_SUBTASK.txt"`;
  return `cat > /dev/null; ${stamp('began')}; if [ "$NEXUS_ROLE" = planner ]; then ${plan}; else ${build}; fi`;
};
