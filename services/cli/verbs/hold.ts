/** `nexus pause`, `nexus drain` and `nexus resume`: the whole fleet, or a part of it. */
import type { ControlScope, ControlWord } from '@nexus/shared/client';
import type { Command } from 'commander';
import { nexus } from '../command-word.ts';
import { type HoldOptions, scopeOf, withScope } from '../control-scope.ts';
import { resumeWords } from '../doctor.ts';
import type { Act, Work } from '../program.ts';
import { type Confirmation, command } from '../stop.ts';

export const addPause = (program: Command, act: Act): void => {
  withScope(
    program
      .command('pause')
      .description('begin nothing new, in the fleet or a part of it; what runs goes on to its end'),
    'the whole fleet',
  )
    .addHelpText('after', '\nExamples:\n  nexus pause --all\n  nexus pause --agent code_developer')
    .action(act(hold('pause', 'PAUSE_ALL')));
};

export const addDrain = (program: Command, act: Act): void => {
  withScope(
    program.command('drain').description('take no new tasks and finish those there are; a part begins nothing new'),
    'the whole fleet',
  )
    .addHelpText('after', '\nExamples:\n  nexus drain --all\n  nexus drain --instance worker-agent-host-1a2b')
    .action(act(hold('drain', 'DRAIN')));
};

export const addResume = (program: Command, act: Act): void => {
  withScope(
    program.command('resume').description('let what is stopped, paused or drained go on from its checkpoints'),
    'the whole fleet; a part that is held by itself stays held, and is named',
  )
    .addHelpText('after', '\nExamples:\n  nexus resume --all\n  nexus resume --task add-csv-export-x7k2p9')
    .action(act(hold('resume', 'RESUME_ALL')));
};

const hold =
  (verb: string, word: ControlWord): Work<[HoldOptions]> =>
  async (tools, options) => {
    const scope = scopeOf(options, verb);
    const { state, epoch, through, scopes } = await command(tools, word, scope);
    tools.output.document({ state, epoch, through, scope, scopes });
    tools.output.say(...(word === 'RESUME_ALL' ? resumeLines : holdLines(word))(scope, { state, epoch, scopes }));
    return undefined;
  };

/** `The task shop-a1`. */
export const partWords = (scope: ControlScope): string => {
  const [kind, id] = Object.entries(scope)[0] ?? [];
  return `The ${kind} ${id}`;
};

type Told = Pick<Confirmation, 'state' | 'epoch' | 'scopes'>;

const holdLines =
  (word: ControlWord) =>
  (scope: ControlScope | null, { state, epoch, scopes }: Told): string[] => {
    const asked = { STOP_ALL: 'stopped', PAUSE_ALL: 'paused', DRAIN: 'draining', RESUME_ALL: 'running' }[word];
    const [kind, id] = Object.entries(scope ?? {})[0] ?? [];
    // The firmer word stands: a stop holds more than a pause, a pause more than a drain, and only a resume lifts them.
    if (scope !== null) {
      const is = scopes[`${kind}:${id}`] ?? 'held';
      const before = is === asked ? 'what runs of it ends, nothing new begins.' : `it was ${is} before, and stays so.`;
      return [`${partWords(scope)} is ${is}: ${before}`, `  ${nexus} resume --${kind} ${id}`];
    }
    const lines: Record<string, string> = {
      paused: 'what runs goes on to its end, nothing new begins.',
      draining: 'it takes no new tasks, and finishes those it has.',
    };
    const says = state === asked ? (lines[state] ?? '') : `it was ${state} before, and stays so.`;
    return [`The fleet is ${state} (epoch ${epoch}): ${says}`, `  ${nexus} resume --all lets it go on.`];
  };

/** What goes on, and what still does not. */
const resumeLines = (scope: ControlScope | null, { state, epoch, scopes }: Told): string[] => {
  const held = Object.entries(scopes).filter(([, is]) => is !== 'running');
  return [
    ...(scope === null ? [] : [`${partWords(scope)} is no longer held by itself.`]),
    ...(scope === null || state !== 'running' ? [`The fleet is ${state} (epoch ${epoch}).`] : []),
    ...held.map(([part, is]) => `  ${part} is still ${is}: ${nexus} resume ${resumeWords(part)}`),
    ...(scope !== null && state !== 'running' ? [`  ${nexus} resume --all lets the fleet go on.`] : []),
  ];
};
