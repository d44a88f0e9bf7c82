/** A dead letter as a person reads it: cause first, then what to do, then its tries, then the message itself. */
import type { DeadLetterDetail } from '@nexus/shared/client';
import { nexus } from './command-word.ts';
import { duration, oneLine, table } from './output.ts';

export const letterText = (letter: DeadLetterDetail): string[] => [
  whyOf(letter),
  '',
  ...table([
    ['  letter', letter.id],
    ['  died', `${letter.at}, ${duration(letter.age_seconds * 1000).replace(/\.\d/, '')} ago`],
    ['  service', `${letter.service} (${letter.instance_id})`],
    ['  type', letter.type],
    ['  task', letter.task_id ?? '-'],
    ['  trace', letter.trace_id ?? '-'],
    ['  to do', letter.operator],
    ...letter.edited.map(({ at, by }) => ['  edited', `${at} by ${by}`]),
  ]),
  ...section(
    'causes',
    letter.causes.filter((cause) => oneLine(cause) !== whyOf(letter)).map((cause) => `  ${oneLine(cause)}`),
  ),
  ...section(
    'tries',
    table(
      letter.tries.map((one) => [
        `  ${one.attempt}`,
        one.at,
        one.instance_id,
        whyOf(one) === whyOf(letter) ? one.code : whyOf(one),
      ]),
    ),
  ),
  ...section('as it died', letter.original === null ? [] : indented(letter.original)),
  ...section('message', indented(letter.envelope)),
  '',
  letter.replayable ? `  ${nexus} dlq replay ${letter.id}   puts it back` : `  ${whyNot(letter)}`,
  ...(letter.mendable ? [`  ${nexus} dlq edit ${letter.id}     mends it`] : []),
  `  ${nexus} dlq drop ${letter.id}     deletes it`,
];

/** What the first line says; below it that sentence is not said again. */
const whyOf = ({ code, says }: { code: string; says: string }): string => `${code}: ${oneLine(says)}`;

const whyNot = ({ why_not, says }: DeadLetterDetail): string =>
  oneLine(why_not ?? 'It cannot be replayed.').replace(`: ${oneLine(says)}`, '.');

const section = (title: string, lines: string[]): string[] => (lines.length === 0 ? [] : ['', `${title}:`, ...lines]);

/** JSON leaves the second block of control characters as they are; a terminal may obey them. */
const indented = (value: unknown): string[] =>
  JSON.stringify(value, null, 2)
    .split('\n')
    .map((line) => `  ${line.replaceAll(/\p{Cc}/gu, (letter) => `\\u00${letter.charCodeAt(0).toString(16)}`)}`);
