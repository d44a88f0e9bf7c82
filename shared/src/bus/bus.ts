/**
 * The fabric: acknowledged JSON messages on Redis Streams. This is the door.
 */
import type { DetailsOf } from '@nexus/shared/errors';
import type { Kind, KindsTo, PayloadInput, PayloadOf } from '@nexus/shared/messages';
import type { Presence, Priority, ServiceName } from '@nexus/shared/messages/domain';
import type { Log, Meters } from '@nexus/shared/telemetry';
import type { Control } from './control.ts';
import type { DeadLetters } from './dead.ts';
import type { Envelope } from './envelope.ts';
import type { Keys } from './keys.ts';
import type { FollowUp, LedgerWrite, Outcome } from './outcome.ts';
import type { Store } from './redis.ts';
