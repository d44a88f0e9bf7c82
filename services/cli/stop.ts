/**
 * STOP_ALL and RESUME_ALL: through the API, through Redis where no gateway answers, and, for a machine that is cut
 * off from Redis, by the marks that every agent process carries in its environment.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import type { Bus } from '@nexus/shared/bus';
import { ClientProblem, type ControlScope, type ControlState, type ControlWord } from '@nexus/shared/client';
import type { Presence } from '@nexus/shared/messages/domain';
import type { Tools } from './tools.ts';

export type Confirmation = {
  state: string;
  epoch: number;
  /** How the word got there. */
  through: 'gateway' | 'redis';
  /** Instances that have ended everything they ran. */
  confirmed: string[];
  /** Instances that have not said so in time. */
  silent: string[];
  survivors: { instance_id: string; pid: number }[];
  /** Parts that are held whatever the fleet as a whole does: `task:x` → `stopped`. */
  scopes: Record<string, string>;
};

/** Services that run process trees; the others have nothing to end. */
const runsProcesses = ['worker-agent', 'quality-checker', 'finalizer'];

type Word = Extract<ControlWord, 'STOP_ALL' | 'RESUME_ALL'>;

/** Says the word and, for a stop, waits until everybody who runs processes has confirmed, or the time is over. */
export const command = async (
  tools: Tools,
  word: Word,
  waitMs: number,
  scope: ControlScope | null = null,
): Promise<Confirmation> => {
  try {
    const client = await tools.client();
    const said = await client.command(word, scope ?? undefined);
    return await confirm(word, { ...said, through: 'gateway' }, waitMs, () => client.control());
  } catch (error) {
    if (!(error instanceof ClientProblem) || error.status !== 0) throw error;
    return tools.withBus(async (bus) => {
      const { epoch, state, scopes } = await bus.control.command(word, scope as BusScope, tools.actor);
      return confirm(word, { epoch, state, scopes, through: 'redis' }, waitMs, () => seenByBus(bus));
    });
  }
};

type BusScope = Parameters<Bus['control']['command']>[1];
type Seen = Pick<ControlState, 'epoch' | 'state' | 'instances'>;
type Said = Pick<ControlState, 'epoch' | 'state' | 'scopes'> & Pick<Confirmation, 'through'>;

const confirm = async (word: Word, said: Said, waitMs: number, look: () => Promise<Seen>): Promise<Confirmation> => {
  const deadline = Date.now() + waitMs;
  for (;;) {
    const confirmation = judge(said, await look());
    if (word === 'RESUME_ALL' || confirmation.silent.length === 0 || Date.now() > deadline) return confirmation;
    await sleep(100);
  }
};

/** Who has confirmed the stop of this epoch, who is silent, and what has outlived it. */
export const judge = ({ epoch, state, scopes, through }: Said, { instances }: Seen): Confirmation => {
  const asked = instances.filter(({ service }) => runsProcesses.includes(service));
  const silent = asked.filter((one) => one.confirmed_epoch < epoch);
  return {
    state,
    epoch,
    through,
    scopes,
    confirmed: asked.filter((one) => !silent.includes(one)).map(({ instance_id }) => instance_id),
    silent: silent.map(({ instance_id }) => instance_id),
    survivors: asked.flatMap(({ instance_id, survivors }) => survivors.map((pid) => ({ instance_id, pid }))),
  };
};

const seenByBus = async (bus: Bus): Promise<Seen> => {
  const [{ epoch, state }, presences] = await Promise.all([bus.control.read(), bus.presences()]);
  return { epoch, state, instances: presences.map((one: Presence) => one) };
};
