/**
 * Some processes with the real `control.ts`, on the model of the fabric and a channel whose messages lag: each answer,
 * word and confirmation arrives when it is chosen to. The operator says words on the channel and writes the key.
 */
import { keysOf } from '@nexus/shared/bus';
import { silentLog } from '@nexus/shared/telemetry';
import { type Control, openControl } from '../../shared/src/bus/control.ts';
import type { Choices } from './choices.ts';
import { Fabric } from './fabric.ts';

const channel = 'control';
const keys = keysOf('{simulated}');

type Item = { said: number; text: string } | { confirms: () => void };

type Apply = (word: string, scope: string, expected: number | null) => unknown[];

/** One process's two connections: what is under way on each arrives in its order. */
class Connections {
  readonly answers: (() => void)[] = [];
  readonly stream: Item[] = [];
  isSubscribed = false;
  /** When the newest word of each kind was said that came in here. */
  readonly heard = new Map<string, number>();
  readonly #fabric: Fabric;
  readonly #apply: Apply;
  #hear: (from: string, text: string) => void = () => undefined;

  constructor(fabric: Fabric, apply: Apply) {
    this.#fabric = fabric;
    this.#apply = apply;
  }

  #later<T>(value: T): Promise<T> {
    const answer = Promise.withResolvers<T>();
    this.answers.push(() => answer.resolve(value));
    return answer.promise;
  }

  get redis(): never {
    const fields = (): Record<string, string> => {
      const { epoch, fleet } = this.#fabric.state;
      return { epoch: String(epoch), state: fleet };
    };
    return {
      hgetall: (key: string) => this.#later(key === keys.control ? fields() : {}),
      lrange: () => this.#later([]),
      nexusControl: (_control: string, _said: string, word: string, scope: string, expected: number | '') =>
        this.#later(this.#apply(word, scope, expected === '' ? null : expected)),
    } as never;
  }

  get listening(): never {
    const confirmed = (isSubscribed: boolean): Promise<void> => {
      this.isSubscribed = isSubscribed;
      const answer = Promise.withResolvers<void>();
      this.stream.push({ confirms: answer.resolve });
      return answer.promise;
    };
    return {
      on: (event: string, listener: (from: string, text: string) => void) => {
        if (event === 'message') this.#hear = listener;
      },
      subscribe: () => confirmed(true),
      unsubscribe: () => confirmed(false),
      ping: () => Promise.resolve(),
      disconnect: () => undefined,
    } as never;
  }

  arrive(tell?: (text: string) => void): void {
    const item = this.stream.shift();
    if (item === undefined) return;
    if ('confirms' in item) item.confirms();
    else {
      tell?.(`${item.text} (${item.said})`);
      this.heard.set(item.text, item.said);
      this.#hear(channel, item.text);
    }
  }
}

/** How many steps a promise chain of `control.ts` may need between two answers. */
const microtasks = 12;
const settle = async (): Promise<void> => {
  for (let turn = 0; turn < microtasks; turn += 1) await Promise.resolve();
};

/** Runs one schedule; what went wrong, or null: a word that was said before a written STOP may not end it. */
export const runControl = async (chooses: Choices, trace?: (line: string) => void): Promise<string | null> => {
  const fabric = new Fabric();
  let said = 0;
  let stopSaid = -1;
  let problem: string | null = null;
  const makeLine = (name: string): Connections => {
    const line: Connections = new Connections(fabric, (word, scope, expected) => {
      const before = fabric.state.fleet;
      const reply = fabric.control({ word, scope, expected });
      trace?.(`${name} applies ${word}, expecting epoch ${expected}: ${reply.answer}, ${reply.epoch} ${reply.state}`);
      const isOld = (line.heard.get(word) ?? 0) < stopSaid;
      if (isOld && before === 'stopped' && reply.state !== 'stopped') problem ??= `an old ${word} ended a newer STOP`;
      return [reply.answer, reply.epoch, reply.state];
    });
    return line;
  };
  const names = ['A', 'B', 'C'].slice(0, 2 + chooses.below(2));
  const lines = names.map(makeLine);
  const controls = await openAll(lines);
  for (let step = 0; step < 60; step += 1) {
    const at = chooses.below(lines.length);
    const line = lines[at] as Connections;
    const what = chooses.below(10);
    if (what < 4) line.arrive(trace && ((text) => trace(`${names[at]} hears ${text}`)));
    else if (what < 7) line.answers.shift()?.();
    else if (what === 7) beat(fabric, names[at] as string, controls[at] as Control, trace);
    else {
      said += 1;
      let text = chooses.below(2) === 0 ? 'RESUME_ALL' : 'STOP_ALL';
      if (what === 9) {
        stopSaid = said;
        const { epoch } = fabric.control({ word: 'STOP_ALL', scope: '', expected: null });
        text = JSON.stringify({ command: 'STOP_ALL', fabric: keys.prefix, epoch });
      }
      trace?.(`somebody ${what === 9 ? 'writes' : 'says'} ${text} (${said})`);
      for (const one of lines) if (one.isSubscribed) one.stream.push({ said, text });
    }
    await settle();
  }
  for (const control of controls) control.close();
  return problem;
};

const beat = (fabric: Fabric, name: string, control: Control, trace?: (line: string) => void): void => {
  const { epoch, state } = control.known();
  const reply = fabric.beat('finalizer', name, epoch, state);
  trace?.(`${name} beats: ${reply.epoch} ${reply.state}`);
  control.learn(reply.epoch, reply.state);
};

const openAll = async (lines: readonly Connections[]): Promise<Control[]> => {
  const confirm = { begin: () => undefined, done: async () => undefined } as never;
  const nothing = () => undefined;
  const refusals = { obeyed: async () => undefined, refuse: async () => undefined, refuseUnlessObeyed: nothing };
  const opening = lines.map(({ redis, listening }) =>
    openControl({ redis, listening, keys, channel, log: silentLog(), confirm, refusals, silentMs: 5000 }),
  );
  for (let turn = 0; turn < 8; turn += 1) {
    for (const line of lines) {
      line.arrive();
      for (const answer of line.answers.splice(0)) answer();
    }
    await settle();
  }
  return Promise.all(opening);
};
