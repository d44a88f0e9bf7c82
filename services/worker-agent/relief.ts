/**
 * Relief: what a worker does when less of its disk is free than NEXUS_DISK_RESERVE, so that what it left behind itself
 * does not keep it full. One step after the other, until there is room:
 *
 *   set-ups that are kept → clones whose work was pushed → what clones that wait hold and can be made again
 *   → the work of those clones: pushed to the hub, and of the clone only a note stays, for the next attempt
 *
 * Work that cannot be pushed stays where it is; that is told, and only a person can make room then.
 */
import { rm } from 'node:fs/promises';
import { resolve } from 'node:path';
import { toAppError } from '@nexus/shared/errors';
import type { Author } from '@nexus/shared/git';
import { endMarked } from '@nexus/shared/process';
import { lockOnMachine } from '@nexus/shared/project';
import type { Log } from '@nexus/shared/telemetry';
import { groundOf } from './admission.ts';
import { type Disk, dropRebuildable, dropSetUps, freeBytes } from './rebuildable.ts';
import { listWorkspaces, save, shrinkToNote, type Workspace } from './workspace.ts';

type Options = {
  disk: Disk;
  fileBytesMax: number;
  author: Author;
  isClaimed(token: string): Promise<boolean>;
  /** Free bytes where the clones lie. */
  free(): Promise<number>;
};

export type Relief = { did: string[]; kept: string[] };

/** Makes room where there is too little. `kept`: folders whose work could not be saved, with why. */
export const relieve = async (options: Options): Promise<Relief> => {
  const { disk } = options;
  const relief: Relief = { did: [], kept: [] };
  const isShort = async () => (await options.free()) < disk.diskReserve;
  if (!(await isShort())) return relief;
  // Workers that share a home would step on each other's feet.
  const release = await lockOnMachine(`${resolve(disk.home)}/relief`, { waitMs: 0 });
  if (release === null) return relief;
  try {
    await dropSetUps(disk);
    const clones = await unclaimed(options);
    const isDone = ({ note }: Workspace) => note.saved && note.left.length === 0 && note.wip === null;
    const steps = [
      ...clones.filter(isDone).map((clone) => () => removeDone(clone, relief)),
      ...clones.filter(({ note }) => !note.saved).map((clone) => () => strip(clone, relief)),
      ...clones.filter(({ note }) => !note.saved).map((clone) => () => putAway(clone, options, relief)),
    ];
    for (const step of steps) if (await isShort()) await step();
    return relief;
  } finally {
    release();
  }
};

/** Clones that nobody works in. */
const unclaimed = async ({ disk, isClaimed }: Options): Promise<Workspace[]> => {
  const free: Workspace[] = [];
  for (const clone of await listWorkspaces(disk.home)) if (!(await isClaimed(clone.note.token))) free.push(clone);
  return free;
};

const removeDone = async ({ folder }: Workspace, { did }: Relief): Promise<void> => {
  await rm(folder, { recursive: true, force: true });
  did.push(`removed ${folder}, whose work was pushed`);
};

const strip = async ({ folder }: Workspace, { did }: Relief): Promise<void> => {
  for (const path of await dropRebuildable(folder)) did.push(`removed ${path} in ${folder}`);
};

const putAway = async (clone: Workspace, options: Options, { did, kept }: Relief): Promise<void> => {
  const { folder, note } = clone;
  await endMarked(note.mark, { graceMs: 0, folder });
  try {
    const wip = await save(clone, options);
    if (note.left.length === 0) await shrinkToNote(clone, wip);
    did.push(`pushed the work in ${folder}`);
  } catch (thrown) {
    kept.push(`${folder}: ${toAppError(thrown).message}`);
  }
};

const lookEveryMs = 10_000;

/** Looks every so often. What was done is told, and what could not be saved once, until that changes. */
export const keepRoom = (
  settings: Disk & { checkpointFileMax: number },
  isClaimed: Options['isClaimed'],
  log: Log,
): NodeJS.Timeout => {
  const author = { name: 'NEXUS', email: 'worker@nexus.local' };
  const how = { disk: settings, fileBytesMax: settings.checkpointFileMax, author, isClaimed };
  let told = '';
  let isLooking = false;
  const look = async (): Promise<void> => {
    const { did, kept } = await relieve({ ...how, free: () => freeBytes(groundOf(settings.home)) });
    if (did.length > 0) log.info({ did }, 'The disk is short: room was made');
    const now = kept.join('\n');
    if (now !== '' && now !== told) {
      log.warn({ kept }, 'The disk is full with work that cannot be saved: make room, and it is saved by itself');
    }
    told = now;
  };
  return setInterval(() => {
    if (isLooking) return;
    isLooking = true;
    void look()
      .catch((thrown) => log.warn({ err: toAppError(thrown) }, 'making room on the disk failed'))
      .finally(() => {
        isLooking = false;
      });
  }, lookEveryMs);
};
