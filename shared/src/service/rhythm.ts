/** The rhythm of the fabric as settings: how often what is done, and how long what is waited for. */
import { type ConfigOf, defineConfig, is, setting } from '@nexus/shared/config';

const whole = 'The same for the whole fleet.';

export const rhythmConfig = defineConfig({
  beat: setting('NEXUS_BEAT', is.duration, `How often a process tells that it lives. ${whole}`, { default: '1s' }),
  beatStale: setting(
    'NEXUS_BEAT_STALE',
    is.duration,
    `A peer whose beat stands still for so long, and who has no connection any more, is dead. ${whole}`,
    { default: '1500ms' },
  ),
  beatLate: setting(
    'NEXUS_BEAT_LATE',
    is.duration,
    'A beat that Redis leaves unanswered for so long is told, though the connection still stands.',
    { default: '5s' },
  ),
  renewEvery: setting('NEXUS_RENEW_EVERY', is.duration, `How often claims on messages are renewed. ${whole}`, {
    default: '3s',
  }),
  claimIdle: setting(
    'NEXUS_CLAIM_IDLE',
    is.duration,
    `A claim that was not renewed for so long is nobody's: five renewals at least. ${whole}`,
    { default: '15s' },
  ),
  unseenAfter: setting(
    'NEXUS_UNSEEN_AFTER',
    is.duration,
    'Messages that Redis counts as delivered here for so long, but that never arrived, are taken up.',
    { default: '2s' },
  ),
  aloneWait: setting(
    'NEXUS_ALONE_WAIT',
    is.duration,
    'How long a message over which processes died waits to be alone in this one, before another gets it.',
    { default: '1m' },
  ),
  abortGrace: setting(
    'NEXUS_ABORT_GRACE',
    is.duration,
    'How long work that is aborted when its process ends may take to save what it has.',
    { default: '15s' },
  ),
  closeWait: setting('NEXUS_CLOSE_WAIT', is.duration, 'How long the end of a process waits for Redis.', {
    default: '5s',
  }),
  alarmAhead: setting(
    'NEXUS_ALARM_AHEAD',
    is.duration,
    'Parked messages that are due later than this have no alarm of their own; a sweep finds them, seconds late at most.',
    { default: '1h' },
  ),
});

type RhythmConfig = ConfigOf<typeof rhythmConfig>;

/** What the bus is opened with. */
export const limitsOf = (config: RhythmConfig) => ({
  beatMs: config.beat,
  staleMs: config.beatStale,
  beatLateMs: config.beatLate,
  renewMs: config.renewEvery,
  idleMs: config.claimIdle,
  unseenMs: config.unseenAfter,
  aloneMs: config.aloneWait,
  abortMs: config.abortGrace,
  closeMs: config.closeWait,
  aheadMs: config.alarmAhead,
});

/** What is wrong with settings only together: a rhythm in which who is well would count as dead. */
export const rhythmProblems = ({ beat, beatStale, renewEvery, claimIdle }: Partial<RhythmConfig>): string[] => [
  ...(beat !== undefined && beatStale !== undefined && beatStale <= beat
    ? [`NEXUS_BEAT_STALE is ${beatStale} ms, but beats come every ${beat} ms (NEXUS_BEAT): it has to be longer`]
    : []),
  ...(renewEvery !== undefined && claimIdle !== undefined && claimIdle < 5 * renewEvery
    ? [`NEXUS_CLAIM_IDLE is ${claimIdle} ms, but five renewals (NEXUS_RENEW_EVERY) take ${5 * renewEvery} ms`]
    : []),
];
