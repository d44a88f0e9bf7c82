/**
 * The worker of an agent of Claude Code is killed in the middle of a turn: how soon its conversation goes on elsewhere.
 *
 * The worker that goes on has a home and a folder of conversations of its own, as on another machine, so it works from
 * the transcript and the commit that were carried. It has gone on when the model is asked in the old conversation.
 */
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Client } from '@nexus/shared/client';
import { waitForWorkers } from '../../services/cli/fleet.ts';
import { type Ask, type Script, use } from '../../test/tools/messages-api/messages-api.ts';
import { type AgentsPart, type ClaudeGround, inTime, messageOf, withClaude } from './agents-part.ts';
import { completed } from './bench-fleet.ts';
import { figure, median, shown } from './figures.ts';

const word = 'The word is plum.';
const further = 'I go on.';

type Stage = { hangs: PromiseWithResolvers<void>; asked: PromiseWithResolvers<number>; isKilled: boolean };
/** In s: since the kill, and since the worker that goes on began the attempt. */
type Resumed = { sinceKill: number; sinceBegun: number };

const newStage = (): Stage => ({ hangs: Promise.withResolvers(), asked: Promise.withResolvers(), isKilled: false });

export const resume: AgentsPart = async (bench) => {
  const kills = bench.small ? 1 : 5;
  const rounds: Resumed[][] = [];
  let stage = newStage();
  const script: Script = (ask) => play(ask, stage);
  // What an agent had said when it was killed has to have been saved by then.
  const settings = { NEXUS_CHECKPOINT_INTERVAL: '1s' };
  await withClaude(bench, { script, settings }, async (ground) => {
    for (let round = 1; round <= bench.rounds; round += 1) {
      const found: Resumed[] = [];
      for (let kill = 0; kill < kills; kill += 1) {
        await ground.fleet.join(
          join(ground.fleet.folder, `home-${round}-${kill}`),
          elsewhere(ground, `${round}-${kill}`),
        );
        await waitForWorkers(ground.fleet.client);
        stage = newStage();
        found.push(await killOnce(ground, stage));
      }
      rounds.push(found);
      const [kill, begun] = [middle(found, 'sinceKill'), middle(found, 'sinceBegun')];
      bench.say(
        `resume, round ${round} of ${bench.rounds}: ${shown(begun, 's')} after its new worker, ${shown(kill, 's')}`,
      );
    }
  });
  return {
    figures: [
      figure(
        'resumed on another worker, from its beginning there',
        's',
        rounds.map((found) => middle(found, 'sinceBegun')),
        { atMost: 3 },
      ),
      figure(
        'resumed on another worker, from the kill',
        's',
        rounds.map((found) => middle(found, 'sinceKill')),
        { atMost: 6 },
      ),
    ],
    where: [
      `${rounds.flat().length} workers killed with SIGKILL while a command of their agent ran; at the most ` +
        `${shown(Math.max(...rounds.flat().map(({ sinceKill }) => sinceKill)), 's')} from the kill`,
      'until the resumed CLI asks the model; the death is noticed by its missing beats, which is most of the time',
      'another home and another folder of conversations, as on another machine; checkpoints every second',
    ],
    data: { rounds },
  };
};

const middle = (found: readonly Resumed[], time: keyof Resumed): number => median(found.map((one) => one[time]));

/** Says a word, and hangs in a command; whoever is told that word after the kill has gone on. */
const play = (ask: Ask, stage: Stage) => {
  if (!stage.isKilled) {
    if (ask.turn === 0) return use('Write', { file_path: 'begun.txt', content: 'begun' }, word);
    stage.hangs.resolve();
    return use('Bash', { command: 'sleep 600' });
  }
  const told = JSON.stringify(ask.body.messages);
  if (told.includes(word)) stage.asked.resolve(Date.now());
  else stage.asked.reject(new Error('a new conversation began'));
  // What it had written just before the kill may not have been saved any more.
  return told.includes(further)
    ? use('StructuredOutput', { summary: 'I went on.' })
    : use('Write', { file_path: 'further.txt', content: 'further' }, further);
};

const elsewhere = ({ fleet }: ClaudeGround, name: string): Record<string, string> => ({
  NEXUS_HUBS: join(fleet.home, 'hubs'),
  NEXUS_CLAUDE_FOLDER: join(fleet.folder, `conversations-${name}`),
});

/** What the agent has said lies where another machine finds it. */
const isCarried = async (client: Client, task: string): Promise<boolean> => {
  const [session] = (await client.sessions({ task })).sessions;
  if (session === undefined) return false;
  return (await client.session(session.session_id)).transcript?.includes(word) ?? false;
};

const killOnce = async ({ fleet, journal }: ClaudeGround, stage: Stage): Promise<Resumed> => {
  const { client } = fleet;
  const { task_id: task } = await client.submit({ request: 'Say hello in a file.', roles: ['builder'] });
  await inTime('its agent hangs in a command', stage.hangs.promise);
  const first = await messageOf(journal, 'attempt.begun', task);
  const wait = AbortSignal.timeout(120_000);
  while (!(await isCarried(client, task))) await sleep(100, undefined, { signal: wait });
  const pid = await journal.pidOf(first.from);
  const killedAt = Date.now();
  stage.isKilled = true;
  process.kill(pid, 'SIGKILL');
  const askedAt = await inTime('its conversation goes on', stage.asked.promise);
  const next = await messageOf(journal, 'attempt.begun', task, ({ from }) => from !== first.from);
  await completed(client, task);
  return { sinceKill: (askedAt - killedAt) / 1000, sinceBegun: (askedAt - next.at) / 1000 };
};
