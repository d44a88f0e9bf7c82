/**
 * This product, as it is: the same bus, catalog, validation, journal and settlement that the services use.
 */
import { type Bus, done, type HandlersOf, type Message, type Outcome, openBus } from '@nexus/shared/bus';
import { fabricConfig, loadConfig } from '@nexus/shared/config';
import { kindsTo } from '@nexus/shared/messages';
import type { ServiceName } from '@nexus/shared/messages/domain';
import { openMeters, silentLog } from '@nexus/shared/telemetry';
import { arrivals, clockMs, paced, windowed } from './pace.ts';
import type { Role, RoleOptions } from './player.ts';
import { text } from './sample.ts';
import { watchSettlements } from './watch-settlements.ts';

export const openProduct = (
  options: Pick<RoleOptions, 'redisUrl' | 'prefix'>,
  service: ServiceName,
  observer = false,
): Promise<Bus> =>
  openBus({
    config: loadConfig(fabricConfig, { REDIS_URL: options.redisUrl, NEXUS_PREFIX: options.prefix }),
    service,
    log: silentLog(),
    meters: openMeters(`${service}-${Math.random()}`),
    observer,
  });

/** One handler for every kind that a service has to handle. */
export const handleAll = <S extends ServiceName>(
  service: S,
  work: (message: Message) => Outcome | Promise<Outcome>,
): HandlersOf<S> => Object.fromEntries(kindsTo(service).map((kind) => [kind, work])) as unknown as HandlersOf<S>;

/** With it an envelope has about 700 bytes. */
const filler = text(205);

/** A message of about 700 bytes to the orchestrator; its text begins with the time at which it was sent. */
export const sampleDraft = (n: number) => ({
  type: 'cancellation.requested' as const,
  payload: { task_id: `task-${n % 997}`, reason: `${clockMs().toFixed(3)} ${filler}` },
  thread: `task-${n % 997}`,
  actor: 'bench',
});

export const send: Role = async (options, started) => {
  const bus = await openProduct(options, 'gateway', true);
  await started();
  const publish = (n: number): Promise<unknown> => bus.publish(sampleDraft(n));
  if (options.rate > 0) await paced(options.messages, options.rate, publish);
  else await windowed(options.messages, 512, publish);
  return {};
};

/** A message counts as handled when Redis has acknowledged its settlement. */
export const receive: Role = async (options, started) => {
  const counted = arrivals(options.messages);
  const handled: number[] = [];
  watchSettlements((deliveries) => {
    for (const sentAt of handled.splice(0, deliveries)) counted.met(sentAt);
  });
  const bus = await openProduct(options, 'orchestrator');
  await started();
  const work = (message: Message): Outcome => {
    handled.push(Number.parseFloat((message.payload as { reason: string }).reason));
    return done();
  };
  bus.consume({
    mode: 'stream',
    slots: options.concurrency,
    tools: {},
    handlers: handleAll('orchestrator', work),
  });
  await counted.all;
  return counted.report();
};
