/**
 * STOP_ALL and its kin: through the API, through Redis where no gateway answers, and, for a machine that is cut
 * off from Redis, by the marks that every agent process carries in its environment.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import type { Bus } from '@nexus/shared/bus';
import { ClientProblem, type ControlScope, type ControlState, type ControlWord } from '@nexus/shared/client';
import { agentsHere } from './stop-here.ts';
import type { Tools } from './tools.ts';

/** Where a process runs. */
type Place = { instance_id: string; host: string };

export type Confirmation = {
  state: string;
  epoch: number;
  /** How the word got there. */
  through: 'gateway' | 'redis';
  scope: ControlScope | null;
  /** Instances that have ended everything that the word is about. */
  confirmed: string[];
  /** Instances that have not said so in time. */
  silent: (Place & { pid: number })[];
  /** Attempts that the word is about and that run all the same. */
  running: (Place & { task_id: string; subtask_id: string; agent_id: string })[];
  survivors: (Place & { pid: number })[];
  /** Instances that were to confirm, and died before they did. */
  gone: (Place & { pid: number })[];
  /** Agent processes of the fleet that live on this machine, whatever anybody has said. */
  here: number[];
  /** Parts that are held whatever the fleet as a whole does: `task:x` → `stopped`. */
  scopes: Record<string, string>;
};

/** Services that run process trees; the others have nothing to end. */
const runsProcesses = ['worker-agent', 'quality-checker', 'finalizer'];

type Seen = Pick<ControlState, 'epoch' | 'state' | 'instances'>;
type Said = Pick<ControlState, 'epoch' | 'state' | 'scopes'> & Pick<Confirmation, 'through' | 'scope'>;

/** Says the word and, for a stop, waits until everybody who runs processes has confirmed, or the time is over. */
export const command = async (
  tools: Tools,
  word: ControlWord,
  scope: ControlScope | null,
  waitMs = 0,
): Promise<Confirmation> => {
  try {
    const client = await tools.client();
    const said = await client.command(word, scope ?? undefined);
    return await confirm(tools, word, { ...said, scope, through: 'gateway' }, waitMs, () => client.control());
  } catch (error) {
    if (!(error instanceof ClientProblem) || error.status !== 0) throw error;
    return tools.withBus(async (bus) => {
      await bus.control.demand(word, scope as BusScope);
      const { epoch, state, scopes } = await bus.control.command(word, scope as BusScope, tools.actor);
      return confirm(tools, word, { epoch, state, scopes, scope, through: 'redis' }, waitMs, () => seenByBus(bus));
    });
  }
};

type BusScope = Parameters<Bus['control']['command']>[1];

const confirm = async (
  { config }: Tools,
  word: ControlWord,
  said: Said,
  waitMs: number,
  look: () => Promise<Seen>,
): Promise<Confirmation> => {
  const deadline = Date.now() + waitMs;
  const stopsAll = word === 'STOP_ALL' && said.scope === null;
  const late = new Map<string, Place & { pid: number }>();
  for (;;) {
    const { instances } = await look();
    const judged = judge(said, { instances });
    for (const one of judged.silent) late.set(one.instance_id, one);
    const gone = [...late.values()].filter((one) =>
      instances.every(({ instance_id }) => instance_id !== one.instance_id),
    );
    // Nobody answers for what a dead worker ran; on this machine it can be seen.
    const here = stopsAll ? agentsHere({ home: config.home, prefix: config.fabric.prefix }) : [];
    const confirmation = { ...judged, gone, here };
    const open = confirmation.silent.length + confirmation.running.length + here.length;
    if (word !== 'STOP_ALL' || open === 0 || Date.now() > deadline) return confirmation;
    await sleep(100);
  }
};

/** Who has confirmed, who is silent, what runs all the same, and what has outlived it. */
export const judge = (
  { epoch, state, scopes, scope, through }: Said,
  { instances }: Pick<Seen, 'instances'>,
): Omit<Confirmation, 'gone' | 'here'> => {
  const asked = instances.filter((one) => runsProcesses.includes(one.service) && concerns(one, scope));
  const running = asked.flatMap(({ instance_id, host, running: runs = [] }) =>
    runs
      .filter((run) => scope === null || isMeant(run, scope))
      .map(({ task_id, subtask_id, agent_id }) => ({ instance_id, host, task_id, subtask_id, agent_id })),
  );
  // An epoch is the fleet's: of a part only what runs can be told.
  const silent = scope === null ? asked.filter((one) => one.confirmed_epoch < epoch) : [];
  const late = new Set([...silent, ...(scope === null ? [] : running)].map(({ instance_id }) => instance_id));
  return {
    state,
    epoch,
    through,
    scope,
    scopes,
    confirmed: asked.map(({ instance_id }) => instance_id).filter((id) => !late.has(id)),
    silent: silent.map(({ instance_id, host, pid }) => ({ instance_id, host, pid })),
    running: scope === null ? [] : running,
    survivors: asked.flatMap(({ instance_id, host, survivors }) =>
      survivors.map((pid) => ({ instance_id, host, pid })),
    ),
  };
};

type Instance = Seen['instances'][number];

const concerns = ({ service, instance_id }: Instance, scope: ControlScope | null): boolean =>
  scope === null || ((scope.service ?? service) === service && (scope.instance ?? instance_id) === instance_id);

const isMeant = (run: { task_id: string; agent_id: string }, { task, agent }: ControlScope): boolean =>
  (task ?? run.task_id) === run.task_id && (agent ?? run.agent_id) === run.agent_id;

const seenByBus = async (bus: Bus): Promise<Seen> => {
  const [{ epoch, state }, presences] = await Promise.all([bus.control.read(), bus.presences()]);
  return { epoch, state, instances: presences };
};
