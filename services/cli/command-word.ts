/** Commands as people type them: ours in what we advise, and theirs for processes that run elsewhere. */
import { existsSync, realpathSync } from 'node:fs';
import { basename, dirname, join, resolve, sep } from 'node:path';
import { inheritedEnvironment, asTyped as spell } from '@nexus/shared/config';
import { isInContainer } from '@nexus/shared/process';

/**
 * What people type for `nexus`, by the file that Node was started with: one within the installation is reached by
 * `npx nexus`; a link to it on the PATH, as in our containers, by its name.
 */
export const wordFor = (script: string | undefined, installation: string): 'nexus' | 'npx nexus' => {
  if (script === undefined || !existsSync(script)) return 'nexus';
  const file = join(realpathSync(dirname(script)), basename(script));
  const inside = file.startsWith(installation + sep) || file.includes(`${sep}node_modules${sep}`);
  // What others bring along, a test runner for example, says nothing of how we are started.
  const foreign = file.includes(`${sep}node_modules${sep}`) && basename(file) !== 'nexus';
  return inside && !foreign ? 'npx nexus' : 'nexus';
};

/** What people type in place of `nexus`: told by whoever set the fleet up, else what works where this was started. */
export const nexus: string =
  inheritedEnvironment(['NEXUS_COMMAND']).NEXUS_COMMAND ||
  wordFor(process.argv[1], resolve(import.meta.dirname, '..', '..'));

/** Whether the fleet is one of containers: paths that it names are none of the person's. */
export const inContainer: boolean = isInContainer(nexus);

/** A text of ours (never one of an agent or a person) with that word wherever it names one of our commands. */
export const asTyped = (text: string, word: string = nexus): string => spell(text, word);

/**
 * A command whose program is named relative to where one stands (`./my-agent --quiet`) names it in full afterwards:
 * agents work in other folders. All else stays as it is.
 */
export const fullCommand = (command: string): string => {
  const [, program = '', rest = ''] = /^(\.{1,2}\/[^\s'"]+)(.*)$/s.exec(command) ?? [];
  if (program === '' || !existsSync(program)) return command;
  const path = resolve(program);
  return `${/\s/.test(path) ? `'${path}'` : path}${rest}`;
};
