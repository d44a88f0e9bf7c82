/** Commands as people type them, for processes that run elsewhere. */
import { existsSync } from 'node:fs';
import { resolve } from 'node:path';

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
