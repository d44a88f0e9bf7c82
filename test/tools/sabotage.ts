/**
 * The breaks: for each promise that a line of code keeps, the change that breaks it and the test that has to
 * notice. They lie in `sabotage/<area>.yaml`; `npm run sabotage` tries them. Whoever mends a fault adds the break
 * that brings it back.
 */
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { parse } from 'yaml';
import { z } from 'zod';

const breakSchema = z.strictObject({
  /** From the root of the checkout. */
  file: z.string(),
  /** Stands exactly once in the file. */
  find: z.string().min(1),
  replace: z.string(),
  /** The test file, and the title in it, that turn red. */
  test: z.string(),
  title: z.string().min(1),
});

export type Break = z.infer<typeof breakSchema> & { area: string };

const folder = join(import.meta.dirname, 'sabotage');

/** All breaks, by area and in the order of the files. Throws on a file that is not as it should be. */
export const readBreaks = (): Break[] =>
  readdirSync(folder)
    .sort()
    .flatMap((name) => {
      const list = z.array(breakSchema).parse(parse(readFileSync(join(folder, name), 'utf8')));
      return list.map((one) => ({ ...one, area: name.replace('.yaml', '') }));
    });
