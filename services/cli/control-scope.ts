/** What a stop, a pause, a drain or a resume is about: the whole fleet, said openly, or one part of it. */
import type { ControlScope } from '@nexus/shared/client';
import type { Command } from 'commander';
import { CommandFailure } from './exit-codes.ts';

export type HoldOptions = { all?: boolean } & ControlScope;

export const withScope = (command: Command, all: string): Command =>
  command
    .option('--all', all)
    .option('--task <id>', 'one task')
    .option('--agent <id>', 'one agent')
    .option('--service <name>', 'one service')
    .option('--instance <id>', 'one instance, as `nexus status --json` names it');

/** null is the whole fleet. Throws where nothing is named, or more than one thing. */
export const scopeOf = ({ all, task, agent, service, instance }: HoldOptions, verb: string): ControlScope | null => {
  const named = Object.entries({ task, agent, service, instance }).filter(([, id]) => id !== undefined);
  if (named.length + (all ? 1 : 0) === 1) return all ? null : (Object.fromEntries(named) as ControlScope);
  throw new CommandFailure('usage', `Say what to ${verb}, and one thing only: nexus ${verb} --all`, {
    advice: [`One part alone: nexus ${verb} --task ID, --agent ID, --service NAME or --instance ID`],
  });
};
