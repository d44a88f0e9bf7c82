/** Paths of a finalizer in a container are none of the person's: how to get at them all the same. */
import { existsSync } from 'node:fs';
import { shellWord } from '@nexus/shared/process';

/** Docker puts this file into every container. */
export const isInContainer = (): boolean => existsSync('/.dockerenv');

/** How a command is run where its paths are. */
export const inside = (command: string): string => `docker compose exec finalizer sh -c ${shellWord(command)}`;

/** How a folder comes to where the person stands. */
export const copyOut = (folder: string): string => `docker compose cp ${shellWord(`finalizer:${folder}`)} .`;
