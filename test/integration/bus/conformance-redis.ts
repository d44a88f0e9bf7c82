/**
 * The real fabric in the shape of `test/simulation/fabric-port.ts`: the scripts as they are, on a server with a
 * prefix of its own. Time passes by making pending entries older and what is due earlier, so nobody waits for it.
 */
import { randomBytes } from 'node:crypto';
import { keysOf, prioritiesInOrder } from '@nexus/shared/bus';
import type { ServiceName } from '@nexus/shared/messages/domain';
import { silentLog } from '@nexus/shared/telemetry';
import { findUnseen, renew } from '../../../shared/src/bus/claims.ts';
import type { Control } from '../../../shared/src/bus/control.ts';
import type { TaskDemands } from '../../../shared/src/bus/delivery.ts';
import { ensureGroups } from '../../../shared/src/bus/groups.ts';
import { release } from '../../../shared/src/bus/park.ts';
import { callScript, openRedis, type Redis } from '../../../shared/src/bus/redis.ts';
import { makeSettler, type Settlement as RealSettlement } from '../../../shared/src/bus/settle.ts';
import type { FabricLook, FabricPort, Outgoing, Row, Write } from '../../simulation/fabric-port.ts';

export const services = ['finalizer', 'orchestrator'] as const;

type Entries = [string, string[]][];

/** Opens a fabric of its own on this server; `close` removes it. */
export const openRealFabric = async (url: string): Promise<FabricPort & { close(): Promise<void> }> => {
  const redis = openRedis({ url, name: 'conformance' });
  const keys = keysOf(`{c-${randomBytes(6).toString('hex')}}`);
  const real = (name: string): string => `${keys.prefix}:${name}`;
  const short = (key: string): string => key.slice(keys.prefix.length + 1);
  const inboxOf = (name: string): string => real(`inbox:${name}`);
  const nameOf = (inbox: string): string => short(inbox).slice('inbox:'.length);
  const inboxesOf = (group: string): string[] =>
    prioritiesInOrder.map((priority) => keys.inbox(group as ServiceName, priority));
  const groupOf = (inbox: string): string => nameOf(inbox).split(':')[0] ?? '';
  for (const group of services) await ensureGroups(redis, keys, group as ServiceName);
  const outgoing = ({ inbox, json, id, delayMs }: Outgoing) => ({
    ...{ inbox: inboxOf(inbox), json: String(json), short: '', id, delayMs },
  });
  const write = (one: Write): Write => ({ ...one, key: real(one.key) });

  return {
    publish: async (messages) => {
      const values = messages.flatMap((message) => {
        const { inbox, json, id, delayMs } = outgoing(message);
        const seen = message.seen === null ? '' : real(message.seen);
        const mark = message.mark === null ? '' : real(message.mark);
        const attached = message.attach.flatMap(({ key, text }) => [real(key), text]);
        const edge = [message.limit ?? '', seen, message.remember, mark, message.attach.length, ...attached];
        return [inbox, 0, json, '', id, delayMs ?? '', ...edge];
      });
      const names = [keys.journal, keys.openTasks, keys.due];
      return (await callScript(redis, 'nexusPublish', names, [
        ...[1000, 86_400, keys.parked, messages.length],
        ...values,
      ])) as string[];
    },
    take: async ({ group, consumer, free, lowestFirst, lookForIdle, idleMs, fresh, dead }) => {
      const flags = [lowestFirst ? 1 : 0, lookForIdle ? 1 : 0, idleMs, fresh ? 1 : 0, Date.now()];
      const inboxes = inboxesOf(group);
      const names = [keys.control, keys.deaths, ...inboxes];
      const values = [group, consumer, free, ...flags, dead.length, ...dead];
      const [epoch, state, ...rows] = (await callScript(redis, 'nexusTake', names, values)) as [
        number,
        string,
        ...[number, string, number, string, Row['source'], number, string][],
      ];
      const read = rows.map(([number, id, deliveries, body, source, deaths, alone]) => {
        const inbox = nameOf(inboxes[number - 1] ?? '');
        return { inbox, id, deliveries, body, source, deaths, diedAlone: alone === '1' };
      });
      return { epoch, state, rows: read };
    },
    read: async (group, consumer, count) => {
      const inboxes = inboxesOf(group);
      const news = inboxes.map(() => '>');
      const reply = (await redis.xreadgroup(
        ...(['GROUP', group, consumer, 'COUNT', count, 'STREAMS', ...inboxes, ...news] as unknown as Parameters<
          Redis['xreadgroup']
        >),
      )) as [string, Entries][] | null;
      return (reply ?? []).flatMap(([inbox, entries]) => entries.map((entry) => rowOf(nameOf(inbox), entry, 1, 'new')));
    },
    pendingAt: async (group, consumer) => {
      const reader = { inboxes: inboxesOf(group), service: group, instanceId: consumer };
      const found = await findUnseen(redis, keys, reader, 0, () => false);
      return found.map(({ inbox, entryId: id, ...row }) => ({ ...row, inbox: nameOf(inbox), id, source: 'unseen' }));
    },
    begin: async ({ claim, group, consumer, epoch, taskKey, scopes, alone, publish, ...demands }) => {
      const names = [inboxOf(claim.inbox), keys.control, real(taskKey), keys.journal, keys.deaths];
      const messages = publish.map(outgoing).flatMap(({ inbox, json, short: text }) => [inbox, json, text]);
      const values = [group, claim.id, consumer, claim.deliveries, epoch, scopes.join(','), ...inWords(demands)];
      const rest = [alone ? '1' : '0', 1000, publish.length, ...messages];
      return String(await callScript(redis, 'nexusBegin', names, [...values, ...rest]));
    },
    renew: async (group, consumer, claims) => {
      let learnt = { epoch: 0, state: '' };
      const learn = (epoch: number, state: string): void => {
        learnt = { epoch, state };
      };
      const asked = claims.map(({ inbox, id, deliveries, taskKey, scopes, ...demands }) => ({
        ...{ inbox: inboxOf(inbox), entryId: id, deliveries, taskKey: real(taskKey), scopes: scopes.join(',') },
        demands: inWords(demands),
      }));
      const results = await renew(redis, keys, { learn } as unknown as Control, group, consumer, asked);
      return { ...learnt, results };
    },
    settle: async (group, consumer, batch) => {
      const settler = makeSettler({ redis, keys, group, consumer, journalMax: 1000, log: silentLog() });
      return Promise.all(
        batch.map(({ inbox, write: writes, publish, ...rest }) =>
          settler.settle({
            ...rest,
            ...{ inbox: inboxOf(inbox), line: '{}', write: writes.map(write), publish: publish.map(outgoing) },
          } as RealSettlement),
        ),
      );
    },
    release: (ids, limit) => (ids === null || ids.length > 0 ? release(redis, keys, [...(ids ?? [])], limit) : 0),
    beat: async (service, instance, epoch, state) => {
      const names = [keys.beats(service as ServiceName), keys.presence, keys.control];
      const [, now, fleet, peers] = (await callScript(redis, 'nexusBeat', names, [instance, '', epoch, state])) as [
        ...[number, number, string, string[]],
      ];
      return { epoch: now, state: fleet, peers };
    },
    bury: async (service, instance, counter) => {
      const names = [keys.beats(service as ServiceName), keys.presence, ...inboxesOf(service)];
      return Number(await callScript(redis, 'nexusBury', names, [service, instance, counter]));
    },
    control: async ({ word, scope, expected }) => {
      const values = [word, scope, expected ?? '', 'test', 'now'];
      const reply = (await callScript(redis, 'nexusControl', [keys.control, keys.controlSaid], values)) as [
        string,
        number,
        string,
      ];
      return { answer: reply[0], epoch: reply[1], state: reply[2] };
    },
    replay: async (id, inbox, body) => {
      const stands = (await redis.hget(keys.dead, id)) ?? '';
      const names = [keys.dead, keys.deadOrder, inboxOf(inbox), keys.journal, real('texts:record')];
      const values = [id, stands, String(body ?? ''), 'replayed', 1000, 60, 'id', id];
      const said = String(await callScript(redis, 'nexusReplay', names, values));
      await redis.unlink(real('texts:record'));
      return said === 'gone' || said === 'changed' ? 0 : 1;
    },
    pass: async (ms) => {
      for (const group of services) {
        for (const inbox of inboxesOf(group)) {
          const rows = (await redis.xpending(inbox, group, '-', '+', 1000)) as Pending[];
          for (const [id, owner, idle] of rows)
            await redis.call('XCLAIM', inbox, group, owner, 0, id, 'IDLE', idle + ms, 'JUSTID');
        }
      }
      for (const id of await redis.zrange(keys.due, '0', '-1')) await redis.zincrby(keys.due, -ms, id);
    },
    look: async () => {
      const found = await redis.keys(`${keys.prefix}:*`);
      const look = emptyLook();
      await Promise.all(found.map((key) => lookAt(redis, key, short(key), look, groupOf)));
      await lookAtDeaths(redis, keys.deaths, nameOf, look);
      return look;
    },
    close: async () => {
      const all = await redis.keys(`${keys.prefix}:*`);
      if (all.length > 0) await redis.unlink(...all);
      redis.disconnect();
    },
  };
};

type Pending = [string, string, number, number];

const inWords = ({ living, afterEnd }: { living: boolean; afterEnd: boolean }): TaskDemands => [
  living ? '1' : '',
  afterEnd ? '1' : '',
];

const rowOf = (inbox: string, [id, fields]: [string, string[]], deliveries: number, source: Row['source']): Row => ({
  ...{ inbox, id, deliveries, body: fields[1], source, deaths: 0, diedAlone: false },
});

const emptyLook = (): FabricLook => ({
  ...{ inboxes: {}, parked: {}, dead: {}, deaths: {}, beats: {}, hashes: {}, indexes: {}, texts: {} },
  control: { epoch: 0, state: 'running', scopes: {} },
});

/** What lies under one key, by what kind of key it is. */
const lookAt = async (
  redis: Redis,
  key: string,
  name: string,
  look: FabricLook,
  groupOf: (inbox: string) => string,
): Promise<void> => {
  if (['journal', 'presence', 'due', 'deaths', 'dead:order', 'groups'].includes(name)) return;
  if (name.startsWith('inbox:')) {
    const pending = (await redis.xpending(key, groupOf(key), '-', '+', 1000)) as Pending[];
    const held = new Map(pending.map(([id, by, , deliveries]) => [id, { by, deliveries }]));
    const entries = await redis.xrange(key, '-', '+');
    if (entries.length === 0) return;
    look.inboxes[name.slice(6)] = entries.map(([id, fields]) => ({ body: fields[1], held: held.get(id) ?? null }));
    return;
  }
  const type = await redis.type(key);
  if (type === 'string') look.texts[name] = (await redis.get(key)) ?? '';
  if (type === 'zset') {
    const flat = await redis.zrange(key, '0', '-1', 'WITHSCORES');
    const rows: [string, number][] = [];
    for (let at = 0; at < flat.length; at += 2) rows.push([flat[at] ?? '', Number(flat[at + 1])]);
    look.indexes[name] = Object.fromEntries(rows);
  }
  if (type !== 'hash') return;
  const hash = await redis.hgetall(key);
  if (name === 'dead') look.dead = hash;
  else if (name === 'control') {
    const { epoch = '0', state = 'running', by: _by, at: _at, ...scopes } = hash;
    look.control = { epoch: Number(epoch), state, scopes };
  } else if (name === 'parked') {
    for (const [id, text] of Object.entries(hash)) {
      const space = text.indexOf(' ');
      const inbox = text.slice(0, space).split(':inbox:')[1] ?? '';
      look.parked[id] = { inbox, body: text.slice(space + 1) };
    }
  } else if (name.startsWith('beats:')) {
    look.beats[name.slice(6)] = Object.fromEntries(Object.entries(hash).map(([one, beats]) => [one, Number(beats)]));
    // Who said what is for people, and the model has none.
  } else if (name !== 'control:said') look.hashes[name] = hash;
};

/** Deaths by the body of the entry, since ids differ between two fabrics. */
const lookAtDeaths = async (
  redis: Redis,
  key: string,
  nameOf: (inbox: string) => string,
  look: FabricLook,
): Promise<void> => {
  for (const [field, value] of Object.entries(await redis.hgetall(key))) {
    const [inbox = '', id = '', alone = ''] = field.split('|');
    const [entry] = await redis.xrange(inbox, id, id);
    look.deaths[`${nameOf(inbox)}|${entry?.[1][1]}${alone && `|${alone}`}`] = value;
  }
};
