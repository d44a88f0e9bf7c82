/** The gateway's own settings. */
import { catalogConfig, givenConfig } from '@nexus/shared/catalog';
import { defineConfig, is, setting } from '@nexus/shared/config';
import { sessionConfig } from '@nexus/shared/ledger';
import { memoryConfig } from '@nexus/shared/memory';
import { embedConfig } from '@nexus/shared/model';
import { spendConfig } from '@nexus/shared/spend';

export const gatewayConfig = defineConfig({
  ...catalogConfig,
  ...memoryConfig,
  ...sessionConfig,
  ...embedConfig,
  ...spendConfig,
  port: setting('NEXUS_PORT', is.port, 'The port of the HTTP API; 0 takes any free one.', { default: '8080' }),
  host: setting('NEXUS_HOST', is.text, 'The address to listen on; 0.0.0.0 is every one.', { default: '127.0.0.1' }),
  hosts: setting(
    'NEXUS_HOSTS',
    is.list,
    'More names, with commas, by which this gateway may be called; every other Host and Origin is refused.',
    { default: '' },
  ),
  auth: setting('NEXUS_AUTH', is.oneOf('on', 'off'), 'off: no token is asked for, on loopback only.', {
    default: 'on',
  }),
  authOffAnywhere: setting(
    'NEXUS_AUTH_OFF_ANYWHERE',
    is.flag,
    'yes: NEXUS_AUTH=off also where others can reach the port. They can then run programs here.',
    { default: 'no' },
  ),
  token: setting(
    'NEXUS_TOKEN',
    is.optionalText,
    'The bearer token with every right; without it one is made once and kept in Redis.',
    { secret: true },
  ),
  tokenOperate: setting('NEXUS_TOKEN_OPERATE', is.optionalText, 'A token that may submit, cancel and replay.', {
    secret: true,
  }),
  tokenRead: setting('NEXUS_TOKEN_READ', is.optionalText, 'A token that may only look.', { secret: true }),
  repositoriesRoot: setting(
    'NEXUS_REPOSITORIES_ROOT',
    is.optionalText,
    'Repositories given as a path must lie below this folder, because the fleet sees no other (containers).',
  ),
  gitCredentials: setting(
    'NEXUS_GIT_CREDENTIALS',
    is.optionalText,
    'Read access to private repositories, to look before a task is taken: https://user:token@host, one a line.',
    { secret: true },
  ),
  planWait: setting('NEXUS_PLAN_WAIT', is.duration, 'How long `POST /api/plan` waits for the orchestrator’s plan.', {
    default: '5m',
  }),
  probeTimeoutMs: setting(
    'NEXUS_PROBE_TIMEOUT',
    is.duration,
    'How long a repository may take to answer before a task is refused.',
    { default: '10s' },
  ),
  definitionsMax: setting(
    'NEXUS_DEFINITIONS_MAX',
    is.count(1, 10_000),
    'How many agents the fleet may be given over REST.',
    {
      default: '500',
    },
  ),
  ...givenConfig,
  bodyBytesMax: setting('NEXUS_BODY_MAX', is.bytes, 'The largest body of a request.', { default: '262144' }),
  tasksMax: setting('NEXUS_TASKS_MAX', is.count(1), 'How many tasks may be in flight before new ones are refused.', {
    default: '1000',
  }),
  memoryPercentMax: setting(
    'NEXUS_MEMORY_PERCENT_MAX',
    is.count(1, 100),
    'From this share of Redis’ maxmemory on, in percent, new tasks are refused.',
    { default: '80' },
  ),
  lettersMax: setting(
    'NEXUS_LETTERS_MAX',
    is.count(1, 100_000),
    'How many dead letters one call may replay or drop; what is left over is told.',
    { default: '1000' },
  ),
  followersMax: setting(
    'NEXUS_FOLLOWERS_MAX',
    is.count(1, 10_000),
    'How many clients may follow /api/events at the same time.',
    { default: '100' },
  ),
  followerStallMs: setting(
    'NEXUS_FOLLOWER_STALL',
    is.duration,
    'A client of /api/events that reads nothing for so long is cut off.',
    { default: '30s' },
  ),
});
