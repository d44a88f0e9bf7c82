/** Is a program there at all? */

/** The full path of a program as `run()` would start it (by PATH, or relative to `folder`), or null. */
export const findProgram = async (
  _name: string,
  _options: { folder?: string; env?: Readonly<Record<string, string>> } = {},
): Promise<string | null> => {
  throw new Error('to follow');
};
