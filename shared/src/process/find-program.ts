/** Is a program there at all? */
import { access, constants, stat } from 'node:fs/promises';
import { delimiter, join, resolve } from 'node:path';
import { allowedEnv } from './environment.ts';

/** The full path of a program as `run()` would start it (by PATH, or relative to `folder`), or null. */
export const findProgram = async (
  name: string,
  options: { folder?: string; env?: Readonly<Record<string, string>> } = {},
): Promise<string | null> => {
  const folder = options.folder ?? '/';
  const path = allowedEnv(options.env).PATH ?? '';
  const candidates = name.includes('/')
    ? [resolve(folder, name)]
    : path.split(delimiter).map((part) => join(resolve(folder, part), name));
  for (const candidate of candidates) {
    if (await isProgram(candidate)) return candidate;
  }
  return null;
};

const isProgram = async (path: string): Promise<boolean> => {
  try {
    await access(path, constants.X_OK);
    return (await stat(path)).isFile();
  } catch {
    return false;
  }
};
