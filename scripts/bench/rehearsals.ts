/** The rehearsal alone, as `npm run demo` plays it, and ten of its tasks at once. */
import { execFile } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { completed, withFleet } from './bench-fleet.ts';
import { figure, median, shown } from './figures.ts';
import type { Part } from './part.ts';
import { memoryOf } from './process-cost.ts';

const root = join(import.meta.dirname, '../..');

/** The demo's own figure: from its start to the proof of the result. */
export const rehearsal: Part = async (bench) => {
  const seconds: number[] = [];
  for (let round = 1; round <= Math.min(2, bench.rounds); round += 1) {
    const { stdout } = await promisify(execFile)(process.execPath, [join(root, 'scripts/demo.ts'), '--json'], {
      env: { ...process.env, REDIS_URL: bench.server.url, REDIS_PASSWORD: '' },
      maxBuffer: 64e6,
    });
    const said = JSON.parse(stdout.trim().split('\n').at(-1) ?? '{}') as { status: string; duration_ms: number };
    if (said.status !== 'completed') throw new Error(`the rehearsal is ${said.status}`);
    seconds.push(said.duration_ms / 1000);
    bench.say(`rehearsal, round ${round}: ${shown(said.duration_ms / 1000, 's')}`);
  }
  return {
    figures: [figure('the rehearsal, from start to proof', 's', seconds, { atMost: 60 })],
    where: [],
    data: { seconds },
  };
};

const crowdSize = 10;

export const crowd: Part = async (bench) =>
  withFleet(bench.server, 2, async ({ client, fleet }) => {
    const scenario = readFileSync(join(root, 'scripts/rehearsal/url-shortener.yaml'), 'utf8');
    const began = performance.now();
    const ask = (n: number) =>
      client.submit({ request: `Build snip, a small URL shortener (${n}).`, workflow: 'feature', scenario });
    const accepted = await Promise.all(Array.from({ length: crowdSize }, (_, n) => ask(n)));
    const seconds = await Promise.all(
      accepted.map(async ({ task_id }) => {
        const { attempts, sent_back, merged } = await completed(client, task_id, 1000);
        const after = (performance.now() - began) / 1000;
        const made = `${attempts} attempts, ${sent_back} sent back, ${merged} merged`;
        bench.say(`crowd: ${task_id} completed after ${shown(after, 's')} (${made})`);
        return after;
      }),
    );
    const memory = fleet.state.processes.map(({ name, pid }) => ({ name, ...memoryOf(pid) }));
    return {
      figures: [figure(`${crowdSize} rehearsal tasks at once`, 's', [Math.max(...seconds)], { atMost: 300 })],
      where: [
        `the first after ${shown(Math.min(...seconds), 's')}, half of them after ${shown(median(seconds), 's')}`,
        `memory afterwards (PSS): ${memory.map(({ name, pss }) => `${name} ${shown(pss, 'MB')}`).join(', ')}`,
      ],
      data: { seconds, memory },
    };
  });
