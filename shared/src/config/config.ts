/**
 * Settings: declared once, read once, frozen, passed down. The only module that reads the environment.
 *
 * A service declares what it needs with `defineConfig({ slots: setting('NEXUS_SLOTS', …) })`; `serve()`
 * loads it, reports all problems together and exits 78. A secret may come from the file that
 * `<NAME>_FILE` names, and is never printed. `deploy/CONFIG.md` and `.env.example` are generated from
 * the declarations.
 */
import { readFileSync } from 'node:fs';
import { resolve } from 'node:path';
import { fail } from '@nexus/shared/errors';
import { z } from 'zod';
import { defaultHome } from './home.ts';
import { readRedisAddress } from './redis-address.ts';

export { asTyped } from './command-word.ts';
export { defaultHome, demandApart, makeshiftWarning, modulesAbove } from './home.ts';
export { type RedisAddress, readRedisAddress } from './redis-address.ts';

export type Environment = Readonly<Record<string, string | undefined>>;

export type Setting<T> = {
  name: string;
  schema: z.ZodType<T, unknown>;
  /** As a person would write it in the environment; undefined where the setting may be left out or must be given. */
  fallback: string | undefined;
  /** The default where it depends on the machine; what it is, `says` tells. */
  derived: ((environment: Environment) => string) | undefined;
  required: boolean;
  says: string;
  secret: boolean;
};

type SettingOptions = {
  default?: string;
  derived?: (environment: Environment) => string;
  secret?: boolean;
  required?: boolean;
};

/** Declares one setting. `schema` reads the environment's text; `default` is written as that text. */
export const setting = <T>(
  name: string,
  schema: z.ZodType<T, unknown>,
  says: string,
  options: SettingOptions = {},
): Setting<T> => ({
  name,
  schema,
  says,
  fallback: options.default,
  derived: options.derived,
  secret: options.secret ?? false,
  required: options.required ?? false,
});

// biome-ignore lint/suspicious/noExplicitAny: settings of every type stand in one table
export type ConfigDefinition = Readonly<Record<string, Setting<any>>>;
export type ConfigOf<D extends ConfigDefinition> = {
  readonly [K in keyof D]: D[K] extends Setting<infer T> ? T : never;
};

export const defineConfig = <D extends ConfigDefinition>(definition: D): D => definition;

const wholeNumber = (minimum: number, maximum: number) => {
  const wanted = `expected a whole number from ${minimum} to ${maximum}`;
  return z.coerce.number(wanted).int(wanted).min(minimum, wanted).max(maximum, wanted);
};

/** The schemas that settings are made of; each reads text and says in words what it wants. */
export const is = {
  text: z.string().min(1),
  optionalText: z.string().optional(),
  flag: z.stringbool(),
  port: wholeNumber(0, 65_535),
  count: (minimum = 0, maximum = 1_000_000) => wholeNumber(minimum, maximum),
  /** An address with one of these protocols, `redis:` for example. */
  url: (example: string, ...protocols: string[]) =>
    z.string().refine((text) => protocols.includes(URL.parse(text)?.protocol ?? '') && URL.parse(text)?.host !== '', {
      error: `expected an address such as ${example}`,
    }),
  /** Milliseconds from `250`, `250ms`, `30s`, `5m`, `24h`, `7d`. */
  duration: z
    .string()
    .transform((text, context) => readDuration(text) ?? complain(context, 'a duration such as 30s, 5m or 24h')),
  /** Bytes from `1000`, `64kB`, `10MB`, `1GB`. */
  bytes: z.string().transform((text, context) => readBytes(text) ?? complain(context, 'a size such as 64kB or 10MB')),
  /** A list from text with commas; empty text is an empty list. */
  list: z.string().transform((text) =>
    text
      .split(',')
      .map((part) => part.trim())
      .filter((part) => part !== ''),
  ),
  oneOf: <const V extends string>(...values: V[]) => z.enum(values),
};

const complain = (context: z.core.$RefinementCtx, wanted: string): typeof z.NEVER => {
  context.issues.push({ code: 'custom', message: `expected ${wanted}`, input: context.value });
  return z.NEVER;
};

/**
 * Reads a definition from an environment. Throws `CONFIG_INVALID` that lists every problem, a line each;
 * secrets are never quoted. `check` tells what is wrong with settings only together.
 */
export const loadConfig = <D extends ConfigDefinition>(
  definition: D,
  environment: Environment = process.env,
  check: (config: Partial<ConfigOf<D>>) => string[] = () => [],
): ConfigOf<D> => {
  const problems: string[] = [];
  const values: Record<string, unknown> = {};
  for (const [key, declared] of Object.entries(definition)) {
    const text = textOf(declared, environment, problems);
    if (text === undefined && declared.required) problems.push(`${declared.name} is not set: ${declared.says}`);
    const read = declared.schema.safeParse(text);
    if (read.success) values[key] = read.data;
    else if (text !== undefined) problems.push(problemOf(declared, text, read.error));
    else values[key] = undefined;
  }
  problems.push(...check(values as Partial<ConfigOf<D>>));
  if (problems.length > 0) {
    throw fail('CONFIG_INVALID', { count: problems.length, problems: problems.map((line) => `  ${line}`).join('\n') });
  }
  return Object.freeze(values) as ConfigOf<D>;
};

/**
 * What a program that we start may inherit of our environment: the variables of these names that are set. A name that
 * ends in `*` stands for all that begin so. Meant for `shared/src/process`, which holds the list.
 */
export const inheritedEnvironment = (
  names: readonly string[],
  environment: Environment = process.env,
): Record<string, string> => {
  const beginnings = names.filter((name) => name.endsWith('*')).map((name) => name.slice(0, -1));
  const wanted = (name: string) => names.includes(name) || beginnings.some((beginning) => name.startsWith(beginning));
  return Object.fromEntries(
    Object.entries(environment).filter(
      (entry): entry is [string, string] => wanted(entry[0]) && entry[1] !== undefined,
    ),
  );
};

/** The text of a setting: its variable, for secrets also the file that `<NAME>_FILE` names, else the default. */
const textOf = (declared: Setting<unknown>, environment: Environment, problems: string[]): string | undefined => {
  const direct = environment[declared.name];
  if (direct !== undefined && direct !== '') return direct;
  const file = environment[`${declared.name}_FILE`];
  if (declared.secret && file !== undefined && file !== '') {
    try {
      return readFileSync(file, 'utf8').trim();
    } catch (error) {
      problems.push(`${declared.name}_FILE cannot be read: ${(error as Error).message}`);
    }
  }
  return declared.derived?.(environment) ?? declared.fallback;
};

const problemOf = (declared: Setting<unknown>, text: string, error: z.ZodError): string => {
  const wanted = [...new Set(error.issues.map((issue) => issue.message))].join('; ');
  const shown = declared.secret ? '(secret)' : `"${text.slice(0, 80)}"`;
  const fallback = declared.fallback === undefined ? '' : ` (default ${declared.fallback})`;
  return `${declared.name} is ${shown}: ${wanted}${fallback}`;
};

const soundsSecret = /TOKEN|SECRET|PASSW|CREDENTIAL|API_?KEY|PRIVATE_?KEY|ACCESS_?KEY|AUTH(?!OR)/i;

/**
 * The values of this process's variables whose names sound secret, what the files hold that such variables name, and
 * the passwords in addresses, whatever their name: what redaction must never let through. Short values are left out,
 * since replacing every "on" or "8080" would garble a log and protect nothing.
 */
export const secretValues = (environment: Environment = process.env): string[] => {
  const named = Object.entries(environment)
    .filter(([name]) => soundsSecret.test(name) && !name.endsWith('_FILE'))
    .map(([, value]) => value ?? '');
  const texts = [...named, ...secretFiles(environment).map(readOrEmpty)];
  const passwords = [...Object.values(environment), ...texts].flatMap((text) => passwordsIn(text ?? ''));
  return [...new Set([...texts.map((text) => text.trim()), ...passwords])].filter((value) => value.length >= 8);
};

/** As it stands in an address, and as it is meant. */
const passwordsIn = (text: string): string[] =>
  [...text.matchAll(/\b[a-z][a-z0-9+.-]*:\/\/[^\s:/@]*:([^\s@/]+)@/gi)].flatMap(([, password = '']) => {
    try {
      return [password, decodeURIComponent(password)];
    } catch {
      return [password];
    }
  });

const readOrEmpty = (file: string): string => {
  try {
    return readFileSync(file, 'utf8').slice(0, 64_000);
  } catch {
    return '';
  }
};

/** The files that hold secrets of this process: what the variables `<NAME>_FILE` of secret-sounding names point at. */
export const secretFiles = (environment: Environment = process.env): string[] =>
  Object.entries(environment)
    .filter(([name]) => name.endsWith('_FILE') && soundsSecret.test(name))
    .flatMap(([, file]) => (file ? [resolve(file)] : []));

const unitsMs = { ms: 1, s: 1000, m: 60_000, min: 60_000, h: 3_600_000, d: 86_400_000 } as const;
const readDuration = (text: string): number | undefined => {
  const match = /^(\d+(?:\.\d+)?)\s*(ms|s|min|m|h|d)?$/.exec(text.trim());
  return match ? Number(match[1]) * unitsMs[(match[2] ?? 'ms') as keyof typeof unitsMs] : undefined;
};

const unitsBytes = { b: 1, kb: 1000, mb: 1_000_000, gb: 1_000_000_000 } as const;
const readBytes = (text: string): number | undefined => {
  const match = /^(\d+(?:\.\d+)?)\s*(b|kb|mb|gb)?$/.exec(text.trim().toLowerCase());
  return match ? Number(match[1]) * unitsBytes[(match[2] ?? 'b') as keyof typeof unitsBytes] : undefined;
};

/** Settings that every process shares: where Redis is, which fabric on it, where its files lie, what it allows. */
export const fabricConfig = defineConfig({
  redisUrl: setting(
    'REDIS_URL',
    z.string().refine((text) => readRedisAddress(text) !== null, {
      error: 'expected an address such as redis://127.0.0.1:6379 or redis+sentinel://one:26379,two:26379/primary',
    }),
    'Where Redis is: redis://[user:password@]host:port, or redis+sentinel://host:port,host:port/name to ask ' +
      'Sentinels for the primary of this name; rediss://, rediss+sentinel:// with TLS.',
    {
      default: 'redis://127.0.0.1:6379',
      secret: true,
    },
  ),
  redisPassword: setting(
    'REDIS_PASSWORD',
    is.optionalText,
    'The password of Redis, where REDIS_URL does not hold it; the Redis that `nexus up` starts wants it, too. ' +
      'Without one, what agents run can command the fleet.',
    {
      secret: true,
    },
  ),
  sentinelPassword: setting('REDIS_SENTINEL_PASSWORD', is.optionalText, 'The password of the Sentinels.', {
    secret: true,
  }),
  redisWait: setting('NEXUS_REDIS_WAIT', is.duration, 'How long a start waits for Redis before it gives up.', {
    default: '10s',
  }),
  redisTimeout: setting(
    'NEXUS_REDIS_TIMEOUT',
    is.duration,
    'A connection on which Redis answers nothing for so long is given up and opened anew.',
    { default: '10s' },
  ),
  redisCheck: setting(
    'NEXUS_REDIS_CHECK',
    is.duration,
    'How often it is looked whether Redis still can carry a fabric: its eviction policy, memory, disk and replicas.',
    { default: '10s' },
  ),
  replicasMin: setting(
    'NEXUS_REPLICAS_MIN',
    is.count(0, 10),
    'So many replicas have to confirm a new task, and a STOP, before it counts as taken.',
    { default: '0' },
  ),
  replicasWait: setting('NEXUS_REPLICAS_WAIT', is.duration, 'How long their confirmation may take.', { default: '2s' }),
  silentAfter: setting(
    'NEXUS_SILENT_AFTER',
    is.duration,
    'An instance that has not beaten for so long is shown as silent, and its slots are not counted on.',
    { default: '5s' },
  ),
  standstill: setting(
    'NEXUS_STANDSTILL',
    is.duration,
    'A process whose own clock shows a pause of so long says that it stood still, and blames nobody else.',
    { default: '3s' },
  ),
  prefix: setting(
    'NEXUS_PREFIX',
    z.string().regex(/^\{[a-z0-9-]+\}$/, 'expected a hash tag such as {nexus}'),
    'The hash tag on every key: one fabric is one slot.',
    {
      default: '{nexus}',
    },
  ),
  controlChannel: setting(
    'NEXUS_CONTROL_CHANNEL',
    is.text,
    'The Pub/Sub channel that STOP_ALL and its kin are published on.',
    {
      default: 'control',
    },
  ),
  command: setting(
    'NEXUS_COMMAND',
    is.optionalText,
    'What people type in place of `nexus` to reach this fleet, for hints: in containers ' +
      '`docker compose exec gateway nexus`, which the compose file sets.',
  ),
  refusedNote: setting(
    'NEXUS_REFUSED_NOTE',
    is.duration,
    'How long `nexus status` shows that a word on the control channel was refused.',
    { default: '1h' },
  ),
  home: setting(
    'NEXUS_HOME',
    z.string().transform((text) => resolve(text)),
    'The folder for hubs, clones, logs and caches, with no `node_modules` in a folder above it. Left out: a folder ' +
      'of this installation below $XDG_STATE_HOME/nexus, else below ~/.local/state/nexus.',
    { derived: defaultHome },
  ),
  hubs: setting(
    'NEXUS_HUBS',
    is.optionalText,
    'The folder for hubs, where services on several machines share one; without it `hubs` in NEXUS_HOME.',
  ),
  rehearsal: setting('NEXUS_REHEARSAL', is.flag, 'on: tasks may bring a scenario that scripted agents play.', {
    default: 'off',
  }),
  letterRecordMs: setting(
    'NEXUS_LETTER_RECORD',
    is.duration,
    'How long it is kept when, by whom and as what a dead letter was replayed or dropped.',
    { default: '7d' },
  ),
  logLevel: setting(
    'NEXUS_LOG_LEVEL',
    is.oneOf('trace', 'debug', 'info', 'warn', 'error', 'silent'),
    'How much is logged.',
    {
      default: 'info',
    },
  ),
});
export type FabricConfig = ConfigOf<typeof fabricConfig>;
