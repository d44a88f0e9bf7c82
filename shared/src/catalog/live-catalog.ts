/**
 * A catalog that follows its sources: the folders of this machine, and what the fleet has been given. It looks every
 * so often, by a number in Redis and by names, sizes and times of files. What cannot be read any more leaves all as it
 * was, and is told once; whoever asks gets what was last in order, at every moment a whole.
 */
import { stat } from 'node:fs/promises';
import { type Bus, isConnectionError, patient } from '@nexus/shared/bus';
import { type AppError, fail, isFailure, toAppError } from '@nexus/shared/errors';
import type { Log } from '@nexus/shared/telemetry';
import { type Catalog, type CatalogFolders, filesIn, openCatalog } from './catalog.ts';
import { readSharedAgents, readSharedRevision } from './shared-agents.ts';

export type LiveCatalog = Catalog & {
  /** Looks at once; true if anything changed. */
  refresh(): Promise<boolean>;
  close(): Promise<void>;
};

export type LiveOptions = {
  folders: Required<CatalogFolders>;
  /** `present`: whoever looks at the fleet is told what cannot be read. */
  bus: Pick<Bus, 'store' | 'keys'> & Partial<Pick<Bus, 'present'>>;
  log: Pick<Log, 'info' | 'warn' | 'debug'>;
  everyMs: number;
  /** Called after each change. */
  onChange?: (catalog: Catalog) => void;
};

/** Reads everything once, as `openCatalog` does, and again whenever it changes. Throws at the start alone. */
export const openLiveCatalog = async ({ folders, bus, log, everyMs, onChange }: LiveOptions): Promise<LiveCatalog> => {
  const read = async (from: Pick<Bus, 'store' | 'keys'> = bus) => {
    const shared = await readSharedAgents(from);
    return { catalog: await openCatalog({ ...folders, shared: shared.agents }), revision: shared.revision };
  };
  let stamp = await stampOf(folders);
  // A Redis that goes away just now comes back: no reason to give up the start.
  let { catalog, revision } = await read({ keys: bus.keys, store: patient(bus.store) });
  for (const notice of catalog.notices) log.info(notice);
  let unread: string | null = null;

  const look = async (): Promise<boolean> => {
    const [files, number] = [await stampOf(folders), await readSharedRevision(bus)];
    if (files === stamp && number === revision) return false;
    const before = stamp;
    stamp = files;
    try {
      const next = await read();
      const known = new Set(catalog.notices);
      for (const notice of next.catalog.notices) if (!known.has(notice)) log.info(notice);
      ({ catalog, revision } = next);
      unread = null;
    } catch (thrown) {
      // Where Redis is away nothing is wrong with what was written: the next look reads it.
      if (isConnectionError(thrown)) {
        stamp = before;
        throw thrown;
      }
      // A folder that cannot be read is not read again before it changes.
      revision = number;
      const err = toAppError(thrown);
      unread = err.message;
      log.warn({ err }, 'Agents and workflows stay as they were');
      bus.present?.({ agents_unread: unread.slice(0, 500) });
      return false;
    }
    bus.present?.({ agents_unread: null });
    onChange?.(catalog);
    log.info({ agents: catalog.agents.size }, 'Agents and workflows were read again');
    return true;
  };

  let looking: Promise<unknown> = Promise.resolve();
  /** One look after the other: who asks for one is not answered before the one under way has read to its end. */
  const refresh = (): Promise<boolean> => {
    const next = looking.then(look);
    looking = next.catch(() => false);
    return next;
  };
  let idle = true;
  const timer = setInterval(() => {
    if (!idle) return;
    idle = false;
    // An outage of Redis is told by whoever looks after the connections.
    void refresh()
      .catch((thrown) => log.debug({ err: toAppError(thrown) }, 'Agents could not be looked at'))
      .finally(() => {
        idle = true;
      });
  }, everyMs);
  timer.unref();
  return {
    get agents() {
      return catalog.agents;
    },
    get workflows() {
      return catalog.workflows;
    },
    get notices() {
      return catalog.notices;
    },
    agentFor: (role) => orUnread(unread, () => catalog.agentFor(role)),
    candidatesFor: (role) => catalog.candidatesFor(role),
    othersFor: (id) => catalog.othersFor(id),
    workflow: (name) => orUnread(unread, () => catalog.workflow(name)),
    refresh,
    close: async () => {
      clearInterval(timer);
      await looking;
    },
  };
};

/** A catalog as handlers have it: a live one, or in tests one that stays as it is. */
export type FollowingCatalog = Catalog & Partial<Pick<LiveCatalog, 'refresh'>>;

/**
 * What `act` gives. Where it names what the catalog does not have, the sources are looked at, and it acts once more:
 * another service may have accepted what was added a moment ago.
 */
export const withNewest = async <T>(catalog: FollowingCatalog, act: () => T | Promise<T>): Promise<T> => {
  try {
    return await act();
  } catch (thrown) {
    if (catalog.refresh === undefined || !isFailure(thrown, 'ROLE_UNKNOWN', 'WORKFLOW_UNKNOWN')) throw thrown;
    await catalog.refresh();
    return act();
  }
};

/** Who misses what they have just written learns what kept it from being read: one broken file keeps all as it was. */
const orUnread = <T>(unread: string | null, find: () => T): T => {
  try {
    return find();
  } catch (thrown) {
    if (unread === null || !isFailure(thrown, 'ROLE_UNKNOWN', 'WORKFLOW_UNKNOWN')) throw thrown;
    const { code, details } = thrown as AppError;
    const known = `${details.known}. What changed since then is not read, because of this: ${unread}`;
    throw fail(code as 'ROLE_UNKNOWN', { ...(details as { role: string }), known });
  }
};

/** Changes with every file that is written, added or taken away. */
const stampOf = async ({ agentsFolders, workflowsFolders }: Required<CatalogFolders>): Promise<string> => {
  const lists = await Promise.all([
    ...agentsFolders.map((path) => filesIn(path, ['.md']).catch(() => [])),
    ...workflowsFolders.map((path) => filesIn(path, ['.yaml', '.yml']).catch(() => [])),
  ]);
  const parts = lists.flat().map(async (path) => {
    const about = await stat(path).catch(() => null);
    return `${path} ${about?.size} ${about?.mtimeMs}`;
  });
  return (await Promise.all(parts)).join('\n');
};
