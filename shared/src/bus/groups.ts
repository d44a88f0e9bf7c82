/**
 * The consumer groups of a service: made where there are none, and made again where somebody deleted them.
 *
 * With its stream a message goes, too. Whoever was at work on it still has it, and puts it back; where only the group
 * was deleted the entry stands, and is delivered again.
 */
import { fail } from '@nexus/shared/errors';
import type { ServiceName } from '@nexus/shared/messages/domain';
import type { Log } from '@nexus/shared/telemetry';
import type { Delivery } from './delivery.ts';
import { type Keys, prioritiesInOrder } from './keys.ts';
import { callScript, type Redis } from './redis.ts';

/** Creates the consumer group on each of a service's inboxes; at 0, never $ (rule 5). Returns how many it made. */
export const ensureGroups = async (redis: Redis, keys: Keys, group: ServiceName): Promise<number> => {
  let made = 0;
  for (const inbox of prioritiesInOrder.map((priority) => keys.inbox(group, priority))) {
    const said = String(await callScript(redis, 'nexusGroup', [inbox, keys.groups], [group]));
    if (said !== 'made' && said !== 'stands') throw fail('BUS_KEY_TYPE', { key: inbox, found: `it holds a ${said}` });
    if (said === 'made') made += 1;
  }
  return made;
};

type Options = { redis: Redis; context: { keys: Keys; service: ServiceName }; log: Log };

/** Makes the groups again, and says so. */
export const regroup = async ({ redis, context, log }: Options): Promise<void> => {
  const made = await ensureGroups(redis, context.keys, context.service);
  const lost = fail('BUS_GROUP_LOST', { service: context.service });
  if (made > 0) log.warn({ code: lost.code, do: lost.entry.operator }, lost.message);
};

/** Puts a message back whose claim was lost because somebody deleted the stream that it was in. */
export const restore = async (options: Options, { inbox, entryId, body }: Delivery): Promise<void> => {
  const { redis, context, log } = options;
  try {
    await regroup(options);
    const said = await callScript(redis, 'nexusRestore', [inbox, context.keys.groups], [entryId, body]);
    if (said === 'restored') log.warn({ inbox }, 'A message in work went with its stream; it was put back');
  } catch (error) {
    log.debug({ inbox, err: error }, 'A lost claim could not be looked into');
  }
};
