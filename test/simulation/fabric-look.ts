/** All that lies in a model, as the real fabric is looked at: by bodies, since ids differ. */

import type { FabricLook } from './fabric-port.ts';
import type { FabricState } from './fabric-state.ts';

export const lookAt = (state: FabricState): FabricLook => {
  const inboxes: FabricLook['inboxes'] = {};
  const names = new Map<string, string>();
  for (const { name, entries, pending } of state.inboxes.values()) {
    if (entries.size === 0) continue;
    inboxes[name] = [...entries].map(([id, body]) => {
      const held = pending.get(id);
      names.set(`${name}|${id}`, `${name}|${body}`);
      return { body, held: held ? { by: held.owner, deliveries: held.deliveries } : null };
    });
  }
  const deaths = [...state.deaths].map(([key, value]) => {
    const [inbox = '', id = '', alone = ''] = key.split('|');
    return [`${names.get(`${inbox}|${id}`)}${alone && `|${alone}`}`, String(value)];
  });
  const texts = <V>(map: Map<string, V>) => Object.fromEntries([...map].map(([key, value]) => [key, String(value)]));
  const plain = <V>(maps: Map<string, Map<string, V>>) =>
    Object.fromEntries(
      [...maps].filter(([, { size }]) => size > 0).map(([key, map]) => [key, Object.fromEntries(map)]),
    );
  return {
    inboxes,
    parked: Object.fromEntries([...state.parked].map(([id, { inbox, body }]) => [id, { inbox, body }])),
    dead: Object.fromEntries(state.dead),
    deaths: Object.fromEntries(deaths),
    control: { epoch: state.epoch, state: state.fleet, scopes: Object.fromEntries(state.scopes) },
    beats: plain(state.beats),
    hashes: Object.fromEntries([...state.hashes].map(([key, map]) => [key, texts(map)])),
    indexes: plain(state.indexes),
    texts: Object.fromEntries(state.texts),
  };
};
