/** `nexus plan`: how a request would be done, how likely, at which risks and limits; nothing is run. */
import { text } from 'node:stream/consumers';
import type { PlanShown } from '@nexus/shared/client';
import type { TaskRequest } from '@nexus/shared/messages/domain';
import { type Command, Option } from 'commander';
import { asTyped, nexus } from '../command-word.ts';
import { cut, many, type Output, oneLine, table } from '../output.ts';
import type { Act } from '../program.ts';
import type { Tools } from '../tools.ts';
import { amount, type BudgetOptions, budgetOf } from './cost.ts';
import { list, onOff, repositoryOf } from './run.ts';

type PlanOptions = BudgetOptions & {
  repo?: string;
  base?: string;
  workflow?: string;
  roles?: string[];
  mode?: 'parallel' | 'sequential';
  analyst?: boolean;
};

export const addPlan = (program: Command, act: Act): void => {
  program
    .command('plan')
    .description('show how a request would be planned, how likely it is to work, and at which risks; runs nothing')
    .argument('<request>', 'what you want done, in your own words; - reads it from standard input')
    .option('--repo <path|url>', 'the repository that it is about')
    .option('--base <ref>', 'branch, tag or commit to start from')
    .addOption(new Option('--workflow <name>', 'which workflow; left out, the request decides').conflicts('roles'))
    .option('--roles <a,b>', 'these roles, one after the other', list)
    .addOption(new Option('--mode <mode>', 'side by side, or one at a time').choices(['parallel', 'sequential']))
    .option('--analyst <on|off>', 'begin with an analyst, or never', onOff)
    .option('--usd <amount>', 'what it may spend, in USD: whether that will do is told', amount)
    .option('--tokens <n>', 'what it may use, in tokens', amount)
    .addHelpText('after', '\nExamples:\n  nexus plan "Add CSV export" --repo .\n  nexus plan - --json < request.md')
    .action(act(plan));
};

const plan = async ({ output, signal, client }: Tools, words: string, options: PlanOptions): Promise<undefined> => {
  const { repo, base, workflow, roles, mode, analyst } = options;
  const repository = repo === undefined ? undefined : repositoryOf(repo);
  // By name: what else a command line may say, such as --json, is none of the gateway's business.
  const fields = { repository, base, workflow, roles, mode, analyst, budget: budgetOf(options) };
  const given = Object.entries(fields).filter(([, value]) => value !== undefined);
  const request = words === '-' ? await text(process.stdin) : words;
  const asked = { request, ...(Object.fromEntries(given) as Omit<TaskRequest, 'request'>) };
  const shown = await (await client()).plan(asked, { signal });
  output.note(...shown.warnings.map((line) => `warning: ${asTyped(line)}`));
  output.say(...planLines(shown, output));
  output.document(shown);
  return undefined;
};

/** The plan as people read it. */
export const planLines = (shown: PlanShown, { paint, stdout }: Pick<Output, 'paint' | 'stdout'>): string[] => {
  const { judgement, outlook, risks } = shown;
  const width = stdout.columns || 120;
  return [
    paint('bold', cut(oneLine(shown.approach), width * 3)),
    '',
    ...factsOf(shown),
    '',
    ...table([
      ['STEP', 'ROLE', 'AFTER', 'BOX', 'WHAT'],
      ...shown.subtasks.map(({ id, role, depends_on, time_box_minutes, title }) => [
        ...[id, role, depends_on.join(', ') || '-', `${time_box_minutes} min`, cut(oneLine(title), 60)],
      ]),
    ]),
    ...(outlook?.grows ? ['The planner adds steps while the work goes on; they are not counted here.'] : []),
    ...section('Risks', judgement ? judgement.risks.map(({ risk, mitigation }) => `${risk} → ${mitigation}`) : []),
    ...section(
      judgement ? 'Also' : 'Risks',
      risks.filter((risk) => !judgement?.risks.some((one) => risk.startsWith(one.risk))),
    ),
    ...section('What would raise the probability', outlook?.raise ?? []),
    '',
    `Nothing was run. ${nexus} run does it.`,
  ];
};

const factsOf = ({ workflow, judgement, outlook, probability, subtasks, ...rest }: PlanShown): string[] => {
  const facts: [string, string | null][] = [
    ['workflow', `${workflow}, ${many(subtasks.length, 'step')}`],
    [
      'complexity',
      judgement ? `${judgement.complexity}: ${oneLine(judgement.why)}` : 'not judged: no model planned it',
    ],
    ['research', judgement && (judgement.needs_research ? 'something has to be found out first' : 'not needed')],
    ['probability', probability === null ? null : `${percent(probability)}${outlook ? basisOf(outlook) : ''}`],
    ['attempts', outlook && `${outlook.attempts.toFixed(1)} on average, retries included`],
    ['limits', judgement ? limitsOf(judgement.limits) : boxesOf(subtasks)],
    ['price', priceOf(rest)],
    [
      'planned by',
      judgement ? `${judgement.by}${costOf(judgement)}` : 'a template; no model is configured, or it gave no plan',
    ],
  ];
  return facts.flatMap(([name, says]) => (says ? [`  ${name.padEnd(12)}${says}`] : []));
};

type Priced = Pick<PlanShown, 'price_usd' | 'price_by' | 'price_without'>;

const priceOf = ({ price_usd, price_by, price_without }: Priced): string => {
  if (price_usd === null) return 'unknown: nobody can say';
  const why = price_by === 'history' ? 'by what attempts of these roles have cost' : 'as the model judges';
  const without = price_without ? `; no figure yet for ${price_without.join(', ')}: taken for the average` : '';
  return `${money(price_usd)} USD, ${why}${without}`;
};

const basisOf = ({ assumed, steps }: NonNullable<PlanShown['outlook']>): string => {
  const known = steps.filter((step) => !step.assumed).length;
  const shown = `${known} of ${many(steps.length, 'step')} by roles with five attempts or more`;
  return assumed ? ` (assumed: ${shown}, the others are taken for good)` : ` (measured: ${shown})`;
};

type Judgement = NonNullable<PlanShown['judgement']>;

const limitsOf = ({ minutes, tokens, usd }: Judgement['limits']): string =>
  [
    minutes === null ? null : `${minutes} min`,
    tokens === null ? null : many(tokens, 'token'),
    usd === null ? null : `${money(usd)} USD`,
  ]
    .filter((part) => part !== null)
    .join(', ') || 'none named';

/** A template has no limits but the time boxes of its steps, in which an attempt has to end. */
const boxesOf = (subtasks: PlanShown['subtasks']): string => {
  const minutes = subtasks.map(({ time_box_minutes }) => time_box_minutes);
  return `at most ${Math.max(0, ...minutes)} min an attempt, by the box of its step`;
};

const costOf = ({ cost, tries }: Judgement): string => {
  const price = cost.usd === null ? 'price unknown' : `${money(cost.usd)} USD${cost.notional ? ', notional' : ''}`;
  return ` (${many(cost.tokens, 'token')}, ${price}${tries > 1 ? `, ${tries} tries` : ''})`;
};

const section = (title: string, lines: readonly string[]): string[] =>
  lines.length === 0 ? [] : ['', `${title}:`, ...lines.map((line) => `  - ${oneLine(line)}`)];

const percent = (probability: number): string => `${(probability * 100).toFixed(probability > 0.995 ? 1 : 0)} %`;

/** Cents, and what is less with two figures of its own. */
const money = (usd: number): string => (usd > 0 && usd < 0.1 ? String(Number(usd.toPrecision(2))) : usd.toFixed(2));
