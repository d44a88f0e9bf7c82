/** What of a fleet is held, by whom and since when, and the command that lifts it. */
import type { ControlState } from '@nexus/shared/client';
import { nexus } from './command-word.ts';
import { resumeWords } from './doctor.ts';
import { ago } from './output.ts';

type Held = Pick<ControlState, 'state' | 'epoch' | 'scopes' | 'said' | 'by' | 'at'>;

/** For who has just begun to use it; nothing where nothing is held. */
export const heldLines = (control: Held, now: number): string[] => [
  ...(control.state === 'running'
    ? []
    : [`The fleet is ${control.state} (epoch ${control.epoch})${byWhom(control, now)}`]),
  ...partLines(control, now),
];

export const byWhom = ({ state, by, at }: Pick<Held, 'state' | 'by' | 'at'>, now: number): string =>
  by === null || state === 'running' ? '' : ` by ${by}, ${ago(at, now)}`;

/** A line for each word that stands: that of the fleet, then those of its parts. */
export const partLines = ({ state, scopes, said }: Held, now: number): string[] => [
  ...(state === 'running' ? [] : [`  ${nexus} resume --all lets it go on`]),
  ...Object.entries(scopes).map(([scope, is]) => {
    const last = said[scope];
    const who = last === undefined ? '' : ` by ${last.by}, ${ago(last.at, now)}`;
    return `  ${scope} is ${is}${who}: ${nexus} resume ${resumeWords(scope)}`;
  }),
];
