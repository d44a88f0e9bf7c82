/** Memories on a test's fabric, with the settings as a fleet has them by default. */
import type { Bus } from '@nexus/shared/bus';
import { loadConfig } from '@nexus/shared/config';
import { type Memories, memoryConfig, openMemory } from '@nexus/shared/memory';
import { silentLog } from '@nexus/shared/telemetry';

export const memoriesOn = ({ side, keys }: Pick<Bus, 'side' | 'keys'>): Memories =>
  openMemory({ side, keys, settings: loadConfig(memoryConfig, {}), redact: (text) => text, log: silentLog() });
