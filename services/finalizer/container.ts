/** Paths of a finalizer in a container are none of the person's: how to get at them all the same. */
import { existsSync } from 'node:fs';
import { shellWord } from '@nexus/shared/process';

/** The home that docker-compose.yml gives its services: a volume. */
const homeInVolume = '/var/lib/nexus';

/** Docker puts this file into every container; a fleet that a person started inside one has a home of theirs. */
export const isInContainer = (home: string): boolean => home === homeInVolume && existsSync('/.dockerenv');

/** How a command is run where its paths are. */
export const inside = (command: string): string => `docker compose exec finalizer sh -c ${shellWord(command)}`;

/** How a folder comes to where the person stands. */
export const copyOut = (folder: string): string => `docker compose cp ${shellWord(`finalizer:${folder}`)} .`;
