/** What one call of the settling script takes in the server, by its own counters: nobody else is served meanwhile. */
import { figure, median, shown } from './figures.ts';
import type { Part } from './part.ts';
import { race } from './race.ts';
import type { CommandCost } from './server.ts';

const batches = [16, 100];
/** Commands that the script calls; the rest of its time is Lua and its arguments. */
const inside = ['xpending', 'hget', 'type', 'hlen', 'time', 'hset', 'xadd', 'xack', 'xdel'];

export const settlement: Part = async (bench) => {
  const measured = new Map<number, { ms: number[]; where: string[] }>();
  for (const batch of batches) {
    const messages = batch * 40;
    const found = { ms: [] as number[], where: [] as string[] };
    for (let round = 1; round <= bench.rounds; round += 1) {
      const limits = { messages, rate: 0, concurrency: batch };
      const side = { role: 'product-settle', counts: true };
      const before = { at: new Map<string, CommandCost>() };
      await race(bench.server, [side], limits, async () => {
        before.at = await bench.server.commands();
      });
      const costs = since(before.at, await bench.server.commands());
      const script = costs.get('evalsha') ?? { calls: 0, us: Number.NaN };
      found.ms.push(script.us / script.calls / 1000);
      found.where = insideLines(batch, costs, script);
      bench.say(
        `settlement, round ${round} of ${bench.rounds}: a batch of ${batch} ${shown(found.ms.at(-1) ?? 0, 'ms')}`,
      );
    }
    measured.set(batch, found);
  }
  return {
    figures: batches.map((batch) =>
      figure(`a settlement script, batch of ${batch}`, 'ms', measured.get(batch)?.ms ?? [], { atMost: 2 }),
    ),
    where: batches.flatMap((batch) => measured.get(batch)?.where ?? []),
    data: Object.fromEntries([...measured].map(([batch, { ms }]) => [batch, median(ms)])),
  };
};

const since = (before: Map<string, CommandCost>, after: Map<string, CommandCost>): Map<string, CommandCost> =>
  new Map(
    [...after].map(([name, { calls, us }]) => {
      const earlier = before.get(name) ?? { calls: 0, us: 0 };
      return [name, { calls: calls - earlier.calls, us: us - earlier.us }];
    }),
  );

const insideLines = (batch: number, costs: Map<string, CommandCost>, script: CommandCost): string[] => {
  const entries = script.calls * batch;
  const parts = inside.flatMap((name) => {
    const us = (costs.get(name)?.us ?? 0) / entries;
    return us < 0.05 ? [] : [{ name, us }];
  });
  const lua = script.us / entries - parts.reduce((sum, { us }) => sum + us, 0);
  const shares = [...parts, { name: 'Lua and arguments', us: lua }].sort((one, other) => other.us - one.us);
  const list = shares.map(({ name, us }) => `${name} ${shown(us, 'us')}`).join(', ');
  return [`batch of ${String(batch).padStart(3)}: ${shown(script.us / entries, 'us')} a delivery: ${list}`];
};
