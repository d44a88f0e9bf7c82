/** Paths of a finalizer in a container are none of the person's: how to get at them all the same. */
import { shellWord } from './shell-word.ts';

/** The compose file says how its fleet is reached; one that a person started inside a container has paths of theirs. */
export const isInContainer = (command: string | undefined): boolean => command?.startsWith('docker compose ') ?? false;

/** How a command is run where its paths are. */
export const inside = (command: string): string => `docker compose exec finalizer sh -c ${shellWord(command)}`;

/** How a folder comes to where the person stands. */
export const copyOut = (folder: string): string => `docker compose cp ${shellWord(`finalizer:${folder}`)} .`;
