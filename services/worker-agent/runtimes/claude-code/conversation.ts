/** The file of a conversation, as the CLI keeps it: found by its id, put there, read for what it cost, removed. */
import { copyFile, mkdir, readdir, readFile, rm, stat } from 'node:fs/promises';
import { join } from 'node:path';

const projects = (folder: string): string => join(folder, 'projects');

/** The file of a conversation below a config folder; null: it was not kept. Which folder it is in, nobody can tell. */
export const findConversation = async (folder: string, id: string): Promise<string | null> => {
  const places = await readdir(projects(folder)).catch(() => []);
  for (const place of places) {
    const file = join(projects(folder), place, `${id}.jsonl`);
    const found = await stat(file).catch(() => null);
    if (found?.isFile() && found.size > 0) return file;
  }
  return null;
};

/** Puts a copy from elsewhere where the CLI finds it: under any project will do. */
export const bringConversation = async (folder: string, id: string, file: string): Promise<void> => {
  const place = join(projects(folder), 'carried');
  await mkdir(place, { recursive: true });
  await copyFile(file, join(place, `${id}.jsonl`));
};

/**
 * Where the CLI begins to count when it goes on with a conversation: it writes down its total when it ends. One that
 * was killed could not, so what it used is not in the next one's total.
 */
export const costIn = async (file: string | null): Promise<number> => {
  const text = file === null ? '' : await readFile(file, 'utf8').catch(() => '');
  const last = text.split('\n').findLast((line) => line.startsWith('{"type":"cost-state"'));
  try {
    const { totalCostUSD } = JSON.parse(last ?? '{}') as { totalCostUSD?: unknown };
    return typeof totalCostUSD === 'number' ? totalCostUSD : 0;
  } catch {
    return 0;
  }
};

/** Removes what is kept of a conversation. */
export const removeConversation = async (folder: string, id: string): Promise<boolean> => {
  const file = await findConversation(folder, id);
  if (file === null) return false;
  await rm(file, { force: true });
  await rm(file.replace(/\.jsonl$/, ''), { recursive: true, force: true });
  return true;
};
