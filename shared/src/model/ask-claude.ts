/**
 * Questions answered by Claude through its CLI, on the login that is there: no tools, no settings of anybody's, nothing
 * kept. An answer that does not hold is asked for anew, with all that was said before.
 *
 * A key is passed on only where there is no login: the CLI takes the key wherever it sees one, and a person with a
 * subscription would be billed without a word.
 */
import { homedir, tmpdir } from 'node:os';
import { join } from 'node:path';
import { inheritedEnvironment } from '@nexus/shared/config';
import { fail } from '@nexus/shared/errors';
import { allowedEnv, run } from '@nexus/shared/process';
import { z } from 'zod';
import { type Answering, complaintOf, type Said, type Turn } from './ask.ts';
import type { Priced } from './ask-server.ts';
import { type Reserved, reserve, tokensOf } from './call.ts';
import type { Usage } from './chat.ts';
import { accountNamed } from './model-config.ts';
import { resetIn } from './resets.ts';

const outputBytesMax = 20_000_000;
const statusMs = 20_000;

const resultLine = z.looseObject({
  is_error: z.boolean().default(false),
  result: z.string().default(''),
  structured_output: z.unknown().optional(),
  api_error_status: z.number().nullish(),
  total_cost_usd: z.number().default(0),
  usage: z
    .looseObject({
      input_tokens: z.number().default(0),
      output_tokens: z.number().default(0),
      cache_read_input_tokens: z.number().default(0),
      cache_creation_input_tokens: z.number().default(0),
    })
    .optional(),
  modelUsage: z.record(z.string(), z.unknown()).default({}),
  errors: z.array(z.string()).default([]),
});

/** What the CLI adds to a question of its own accord, in tokens, with room. */
const addedTokens = 10_000;

export const claudeAnswering = (
  program: string,
  model: string | null,
  { priceOf, outputTokensMax }: Priced & { outputTokensMax: number },
): Answering => {
  let login: Promise<Login> | null = null;
  return {
    says: `${model ?? 'the usual model'} by ${program}`,
    turn: async (turn) => {
      login ??= findLogin(program);
      const { env, isSubscription, account } = await login;
      const named = turn.model ?? model;
      const asked = named ?? usualModel;
      const input = tokensOf(`${turn.system}${promptOf(turn)}${JSON.stringify(turn.schema)}`) + addedTokens;
      const most: Usage = { ...nothing, input_tokens: input, output_tokens: outputTokensMax };
      const call = { provider: 'anthropic', account, model: asked, kind: 'process' as const, notional: isSubscription };
      const amounts = { usdMax: priceOf(asked, most), tokensMax: input + outputTokensMax };
      const reserved = turn.gate && (await reserve(turn.gate, { ...call, ...amounts }, turn.signal));
      const result = await run({
        command: [program, ...argumentsOf(turn, named)],
        folder: tmpdir(),
        env,
        input: promptOf(turn),
        timeoutMs: 2 ** 31 - 1,
        outputBytesMax,
        signal: turn.signal,
        mark: `nexus-ask-${process.pid}`,
        leashed: true,
      }).catch(async (thrown) => {
        await reserved?.release();
        throw thrown;
      });
      await settle(reserved, readResult(result.stdout), turn.signal, most);
      turn.signal.throwIfAborted();
      return { ...saidIn(result.stdout, result.stderr, asked), notional: isSubscription };
    },
  };
};

/** The CLI's own choice. */
const usualModel = 'opus';

/** An answer that was broken off has cost at least its question: nobody tells more of it. */
const settle = async (
  reserved: Reserved | undefined,
  said: Result | null,
  signal: AbortSignal,
  most: Usage,
): Promise<void> => {
  if (said === null) {
    await (signal.aborted ? reserved?.settle({ usd: null, usage: { ...most, output_tokens: 0 } }) : reserved?.failed());
    return;
  }
  const usage = usageIn(said);
  const status = said.api_error_status ?? null;
  if (tokensIn(usage) > 0) await reserved?.settle({ usd: said.total_cost_usd, usage, model: modelIn(said) });
  else if (status === 429) await reserved?.limited(untilReset(said.result));
  else await (said.is_error && (status === null || status >= 500) ? reserved?.failed() : reserved?.release());
};

/** In ms; null where its words do not tell. */
const untilReset = (says: string): number | null => {
  const opens = resetIn(says, Date.now());
  return opens === null ? null : opens - Date.now();
};

const argumentsOf = (turn: Turn, model: string | null): string[] => [
  ...['-p', '--output-format=json', '--strict-mcp-config', '--setting-sources=', '--no-session-persistence'],
  ...['--tools=', '--max-turns=6', `--json-schema=${JSON.stringify(turn.schema)}`],
  ...(turn.system === '' ? [] : [`--system-prompt=${turn.system}`]),
  ...(model === null ? [] : [`--model=${model}`]),
];

/** `@path` would put a file in, and `/word` at the very beginning would be a command of the CLI's own. */
const promptOf = ({ prompt, before }: Turn): string =>
  [prompt, ...before.map(({ text, problems }) => `You answered:\n${text}\n\n${complaintOf(problems)}`)]
    .join('\n\n')
    .replaceAll(/(^|\s)@(?=\S)/g, '$1@\u2060')
    .replace(/^\s*\//, (start) => ` ${start}`);

const saidIn = (stdout: string, stderr: string, model: string): Omit<Said, 'notional'> => {
  const said = readResult(stdout);
  const where = 'Claude Code';
  if (said === null) {
    const message = (stderr.trim() || stdout.trim() || 'it told no result').slice(-500);
    throw fail('MODEL_UNREACHABLE', { where, message });
  }
  const message = [said.result, ...said.errors].join(' ').trim().slice(0, 500);
  const status = said.api_error_status ?? null;
  if (said.is_error && (status === 402 || /credit balance is too low/i.test(message))) {
    throw fail('CREDIT_SPENT', { where, message });
  }
  if (status === 401 || status === 403 || (said.is_error && /not logged in|\/login/i.test(message))) {
    throw fail('MODEL_KEY_REFUSED', { where, status: status ?? 'no login', message });
  }
  if (status === 404) throw fail('MODEL_UNKNOWN', { model, where, mend: `correct its name (${message})` });
  if (status === 429) throw fail('MODEL_LIMITED', { where, message });
  if (said.is_error) throw fail('MODEL_UNREACHABLE', { where, message });
  return {
    text: said.structured_output === undefined ? said.result : JSON.stringify(said.structured_output),
    usage: usageIn(said),
    usd: said.total_cost_usd,
    model: modelIn(said) ?? model,
  };
};

type Result = z.infer<typeof resultLine>;

const nothing: Usage = { input_tokens: 0, output_tokens: 0, cache_read_tokens: 0, cache_write_tokens: 0 };
const usageIn = ({ usage }: Result): Usage => ({
  input_tokens: usage?.input_tokens ?? 0,
  output_tokens: usage?.output_tokens ?? 0,
  cache_read_tokens: usage?.cache_read_input_tokens ?? 0,
  cache_write_tokens: usage?.cache_creation_input_tokens ?? 0,
});
const tokensIn = (usage: Usage): number => Object.values(usage).reduce((total, count) => total + count, 0);
const modelIn = ({ modelUsage }: Result): string | undefined => Object.keys(modelUsage)[0];

const readResult = (stdout: string): Result | null => {
  try {
    return resultLine.parse(JSON.parse(stdout.trim().split('\n').at(-1) ?? ''));
  } catch {
    return null;
  }
};

type Login = { env: Record<string, string>; isSubscription: boolean; account: string };

const findLogin = async (program: string): Promise<Login> => {
  const quiet = {
    CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC: '1',
    DISABLE_AUTOUPDATER: '1',
    CLAUDE_CODE_MAX_RETRIES: '1',
    ...(process.getuid?.() === 0 ? { IS_SANDBOX: '1' } : {}),
  };
  const place = inheritedEnvironment(['CLAUDE_CONFIG_DIR', 'ANTHROPIC_BASE_URL']);
  const token = inheritedEnvironment(['CLAUDE_CODE_OAUTH_TOKEN']);
  const env = { ...quiet, ...place, ...token };
  const [secret] = Object.values(token);
  if (secret) return { env, isSubscription: true, account: accountNamed('claude-subscription', secret) };
  const command: [string, ...string[]] = [program, 'auth', 'status'];
  const status = await run({
    command,
    folder: '/',
    env: allowedEnv(env),
    timeoutMs: statusMs,
    outputBytesMax: 100_000,
  });
  if (/"loggedIn":\s*true/.test(status.stdout)) {
    const [, whose = place.CLAUDE_CONFIG_DIR ?? join(homedir(), '.claude')] =
      /"orgId":\s*"([^"]+)"/.exec(status.stdout) ?? [];
    return { env, isSubscription: true, account: accountNamed('claude-subscription', whose) };
  }
  const paid = ['ANTHROPIC_API_KEY', 'CLAUDE_CODE_USE_BEDROCK', 'CLAUDE_CODE_USE_VERTEX', 'ANTHROPIC_VERTEX_*'];
  const clouds = ['AWS_*', 'ANTHROPIC_BEDROCK_*', 'CLOUD_ML_REGION', 'VERTEX_*', 'GOOGLE_*', 'GCLOUD_*'];
  const theirs = inheritedEnvironment([...paid, ...clouds]);
  const payer = theirs.ANTHROPIC_API_KEY ?? JSON.stringify(theirs);
  return { env: { ...env, ...theirs }, isSubscription: false, account: accountNamed('claude-api_key', payer) };
};
