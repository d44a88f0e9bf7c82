/**
 * Options of our scripts. Each file opens with what it does and how it is called: `--help` prints that. An option that
 * is not known is one line and exit code 2.
 */
import { readFileSync } from 'node:fs';
import { type ParseArgsConfig, parseArgs } from 'node:util';

/** Parses the options of the script in this file (`import.meta.filename`); ends the process where that is all. */
export const readOptions = <T extends ParseArgsConfig>(script: string, config: T): ReturnType<typeof parseArgs<T>> => {
  if (process.argv.includes('--help')) {
    process.stdout.write(`${openingOf(readFileSync(script, 'utf8'))}\n`);
    process.exit(0);
  }
  try {
    return parseArgs(config);
  } catch (error) {
    const [problem = ''] = (error as Error).message.split('. ');
    process.stderr.write(`${problem}. --help tells what there is.\n`);
    process.exit(2);
  }
};

/** The text of the comment that a file opens with. */
export const openingOf = (source: string): string => {
  const [, comment = ''] = /^\/\*\*\n?([\s\S]*?)\s*\*\//.exec(source) ?? [];
  return comment.replaceAll(/^ \* ?/gm, '').trim();
};
