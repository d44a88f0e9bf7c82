/** Small plans for the fleet's simulation. */
import type { Plan } from '@nexus/shared/messages/domain';
import { node } from '../tools/board.ts';
import type { Choices } from './choices.ts';

/** One to six subtasks, most of them code, that depend on some of those before. */
export const planBy = (chooses: Choices): Plan => {
  const shape = chooses.below(12);
  const count = shape < 10 ? 1 + (shape % 4) : 5 + (shape % 2);
  const chosen: string[] = [];
  for (let at = 0; at < count; at += 1) {
    const bits = chooses.below(256);
    // Eight choices at a time: a kind, and a dependency on each of the four before.
    const depends = [1, 2, 3, 4].filter((back) => back <= at && ((bits >> back) & 1) === 1 && (bits & 32) === 0);
    chosen.push(`${(bits & 192) === 192 ? 'report' : 'code'} ${depends.map((back) => at - back).join(' ')}`);
  }
  const mode = chooses.below(6) === 5 ? 'sequential' : 'parallel';
  const subtasks = chosen.map((text, at) => partOf(at, text));
  return { approach: '', workflow: 'simple', mode, subtasks, risks: [], probability: null, price_usd: null };
};

/** Parsed once for each shape: parsing costs more than all else of a plan. */
const parts = new Map<string, Plan['subtasks'][number]>();
const partOf = (at: number, text: string): Plan['subtasks'][number] => {
  const key = `${at} ${text}`;
  let part = parts.get(key);
  if (part === undefined) {
    const [kind, ...on] = text.trim().split(' ');
    part = node({ id: `s${at}`, kind: kind as 'code' | 'report', depends_on: on.map((other) => `s${other}`) });
    parts.set(key, part);
  }
  return part;
};
