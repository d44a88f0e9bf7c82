/** The settings of money, tokens and providers: of every service that spends, or shows what was spent. */
import { type ConfigOf, defineConfig, is, setting } from '@nexus/shared/config';
import { z } from 'zod';

const wanted = 'expected an amount above 0; left out, there is no limit';
const usd = z.coerce.number(wanted).positive(wanted).max(1e9, wanted).optional();
const tokens = z.coerce.number(wanted).int(wanted).positive(wanted).max(1e15, wanted).optional();

/** `openai=500/m`, `anthropic:claude-opus-5-5=50/m`: calls a minute, of a provider or of one of its models. */
const rates = is.list.transform((parts, context) => {
  const found = new Map<string, number>();
  for (const part of parts) {
    const [, name = '', count = ''] = /^([\w.:/-]+)=(\d+)\/m$/.exec(part) ?? [];
    if (Number(count) > 0) found.set(name, Number(count));
    else context.issues.push({ code: 'custom', message: 'expected rates such as openai=500/m', input: part });
  }
  return found;
});

export const spendConfig = defineConfig({
  prices: setting(
    'NEXUS_PRICES',
    is.optionalText,
    'A JSON file of prices that are added to the built-in table, or stand in place of its rows: ' +
      '{"models": {"my-model": {"input": 1, "output": 4}}}, in USD per million tokens.',
  ),
  budgetDayUsd: setting('NEXUS_BUDGET_DAY_USD', usd, 'What the whole fleet may spend in a day (UTC), in USD.'),
  budgetDayTokens: setting('NEXUS_BUDGET_DAY_TOKENS', tokens, 'The same in tokens.'),
  budgetTaskUsd: setting('NEXUS_BUDGET_TASK_USD', usd, 'What a task may spend whose request gives no budget in USD.'),
  budgetTaskTokens: setting('NEXUS_BUDGET_TASK_TOKENS', tokens, 'The same in tokens.'),
  budgetSubtaskUsd: setting('NEXUS_BUDGET_SUBTASK_USD', usd, 'What a subtask may spend, in all its attempts, in USD.'),
  budgetSubtaskTokens: setting('NEXUS_BUDGET_SUBTASK_TOKENS', tokens, 'The same in tokens.'),
  budgetAttemptUsd: setting(
    'NEXUS_BUDGET_ATTEMPT_USD',
    usd,
    'What one attempt may spend whose agent has no limit of its own, in USD.',
  ),
  budgetAttemptTokens: setting('NEXUS_BUDGET_ATTEMPT_TOKENS', tokens, 'The same in tokens.'),
  budgetWarnPercent: setting(
    'NEXUS_BUDGET_WARN_PERCENT',
    is.count(1, 100),
    'From this share of a budget on it is told that it comes to its end.',
    { default: '80' },
  ),
  budgetStepUsd: setting(
    'NEXUS_BUDGET_STEP_USD',
    z.coerce.number(wanted).positive(wanted).max(1e6, wanted),
    'So much is reserved ahead for an agent whose calls cannot be asked for one by one, in USD; or what is left.',
    { default: '0.5' },
  ),
  budgetStepTokens: setting('NEXUS_BUDGET_STEP_TOKENS', is.count(1, 100_000_000), 'The same in tokens.', {
    default: '200000',
  }),
  budgetRecheck: setting(
    'NEXUS_BUDGET_RECHECK',
    is.duration,
    'How often an attempt that waits for the budget of the day, or for what others have reserved, looks again.',
    { default: '30s' },
  ),
  costRetention: setting('NEXUS_COST_RETENTION', is.duration, 'How long it is kept what was spent on what.', {
    default: '90d',
  }),
  callsStart: setting(
    'NEXUS_PROVIDER_START',
    is.count(1, 10_000),
    'With so many calls side by side, or processes of a CLI, the fleet begins at a provider’s account and model; ' +
      'it becomes more while all goes well, and half of it when the provider has had enough.',
    { default: '16' },
  ),
  callsMax: setting('NEXUS_PROVIDER_MAX', is.count(1, 100_000), 'It never becomes more than this.', {
    default: '256',
  }),
  rates: setting(
    'NEXUS_PROVIDER_RATES',
    rates,
    'Calls a minute that a provider, or one of its models, takes: `openai=500/m,anthropic:claude-opus-5-5=50/m`. ' +
      'Left out, its own refusals tell.',
    { default: '' },
  ),
  providerWait: setting(
    'NEXUS_PROVIDER_WAIT',
    is.duration,
    'A call waits so long for a provider that is limited; then its attempt is put aside, and counted as none.',
    { default: '90s' },
  ),
  providerDownMax: setting(
    'NEXUS_PROVIDER_DOWN_MAX',
    is.duration,
    'An attempt whose provider cannot be reached, or only fails, is put aside again and again for so long, ' +
      'uncounted; then it fails.',
    { default: '1h' },
  ),
  breakerAfter: setting(
    'NEXUS_BREAKER_AFTER',
    is.count(1, 1000),
    'After so many failures of a provider in a row nothing is sent there for a while; then one call tries.',
    { default: '5' },
  ),
  breakerFor: setting(
    'NEXUS_BREAKER_FOR',
    is.duration,
    'How long that while is at first; it doubles each time, up to ten minutes.',
    { default: '10s' },
  ),
});
export type SpendConfig = ConfigOf<typeof spendConfig>;
