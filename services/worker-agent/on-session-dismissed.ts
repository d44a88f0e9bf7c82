/** Somebody ended a conversation of an agent: nobody goes on with it. One that an agent is in goes on to its end. */
import { done, type Handler } from '@nexus/shared/bus';
import { readSession } from '@nexus/shared/ledger';
import { writeSession } from '@nexus/shared/ledger/write';
import type { WorkerTools } from './attempt.ts';

export const onSessionDismissed: Handler<'session.dismissed', WorkerTools> = async ({ payload }, tools) => {
  const { session_id, by } = payload;
  const found = await readSession(tools.store, tools.keys, session_id);
  if (found === null || found.session.status === 'ended') return done();
  const { session, revision } = found;
  if (session.holder !== null && (await tools.isClaimed(session.holder))) {
    tools.log.info({ session: session_id, by }, 'A session was not ended, since an agent is in it');
    return done();
  }
  const ended_at = new Date(tools.now()).toISOString();
  const ended = { ...session, status: 'ended' as const, holder: null, ended_at, why: `ended by ${by}` };
  return done({ write: writeSession(tools.keys, revision, ended) });
};
