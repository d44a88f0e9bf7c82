/** The file of a conversation, as the CLI keeps it: found by its id, put there, read for what it cost, removed. */
import { copyFile, mkdir, readdir, readFile, rename, rm, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { noUsage, type Usage } from '@nexus/shared/spend';
import { type ModelUsage, usageOfAll } from './events.ts';

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

/** Where the CLI keeps the conversations of a clone: it names the place by the clone's path. */
export const placeOf = (folder: string, clone: string): string => {
  const name = clone.replaceAll(/[^a-zA-Z0-9]/g, '-');
  return join(projects(folder), name.length > nameMax ? `${name.slice(0, nameMax)}-${digestOf(clone)}` : name);
};
const nameMax = 200;
const digestOf = (text: string): string => {
  let sum = 0;
  for (let at = 0; at < text.length; at += 1) sum = (sum * 31 + text.charCodeAt(at)) | 0;
  return Math.abs(sum).toString(36);
};

/**
 * Puts a conversation among those of the clone in which it goes on, all that its agent can see: a copy of what was
 * carried from elsewhere, else the one that lies at another clone's. False: there is none.
 */
export const bringConversation = async (place: string, id: string, carried: string | null): Promise<boolean> => {
  const own = join(place, `${id}.jsonl`);
  const found = await findConversation(join(place, '../..'), id);
  if (found === null && carried === null) return false;
  if (found === own) return true;
  await mkdir(place, { recursive: true });
  if (found === null) await copyFile(carried as string, own);
  else await rename(found, own);
  return true;
};

/**
 * Where the CLI begins to count when it goes on with a conversation: it writes down its total when it ends. One that
 * was killed could not, so what it used is not in the next one's total.
 */
export const countedIn = async (file: string | null): Promise<{ usd: number; usage: Usage }> => {
  const text = file === null ? '' : await readFile(file, 'utf8').catch(() => '');
  const last = text.split('\n').findLast((line) => line.startsWith('{"type":"cost-state"'));
  try {
    const { totalCostUSD, modelUsage } = JSON.parse(last ?? '{}') as {
      totalCostUSD?: unknown;
      modelUsage?: ModelUsage;
    };
    return { usd: typeof totalCostUSD === 'number' ? totalCostUSD : 0, usage: usageOfAll(modelUsage ?? {}) };
  } catch {
    return { usd: 0, usage: noUsage };
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
