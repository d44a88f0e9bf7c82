/**
 * `npm run tidy`: the house rules that a program can check, as one table over the tracked source.
 *
 *   node scripts/tidy.ts            every finding as file:line, the rule, and what would be right
 *   node scripts/tidy.ts --list     the rules
 *
 * Files are read as text; what Biome can hold (import extensions, undeclared packages), Biome holds. A
 * rule with `warns` is printed but fails nothing. `tidy.test.ts` shows each rule a small bad sample. To
 * add a rule: one entry in `rules`, one sample in the test.
 */
import { posix } from 'node:path';
import { deadFiles, longFiles, longFunctions, longLines, luaFaults } from './file-rules.ts';
import { code, comments, type Finding, files, imports, ours } from './look.ts';
import { climbs, importsService, leavesModule, moduleOf, runsGit, strangers, writesForeign } from './module-rules.ts';
import { readOptions } from './options.ts';
import { root } from './parts.ts';
import { isLua, isScript, isTest, readTree, type Tree } from './source.ts';
import { untestedCodes, untestedRules } from './tested.ts';

export type Rule = { name: string; right: string; warns?: boolean; find(tree: Tree): Finding[] };

const bannedNames =
  /(^|(?<!\/checks)\/)(utils?|helpers?|common|misc|types|interfaces)(\/|\.[a-z]+$)|(^|\/)index\.(ts|tsx|js)$/;
const unfinished = new RegExp(
  `\\b(${['TO-DO', 'FIX-ME', 'XX-X', 'HA-CK'].map((word) => word.replace('-', '')).join('|')})\\b`,
);

export const rules: Rule[] = [
  {
    name: 'levels',
    right: 'import only from lower levels: errors < messages, config, telemetry < bus, model, process, git < the rest',
    find: (tree) =>
      imports(tree, (file) => moduleOf(file.path).startsWith('shared/src/') && !isTest(file.path), climbs),
  },
  {
    name: 'doors',
    right: 'cross a module by its door, @nexus/shared/<module>; inside a module, siblings by relative path',
    find: (tree) => imports(tree, (file) => /^(shared|services)\//.test(file.path), leavesModule),
  },
  {
    name: 'services apart',
    right: 'services know each other only through the message catalog; what both need is a module of shared',
    find: (tree) => imports(tree, (file) => file.path.startsWith('services/'), importsService),
  },
  {
    name: 'one library, one module',
    right: 'go through the door of the module that owns the library',
    find: strangers,
  },
  {
    name: 'one writer',
    right: 'a ledger document has one writing service; send that one a message',
    find: (tree) => code(tree, (file) => file.path.startsWith('services/') && !isTest(file.path), writesForeign),
  },
  {
    name: 'XCLAIM in three scripts',
    right: 'only take, renew and settle may move a claim',
    find: (tree) =>
      code(
        tree,
        ({ path }) =>
          (isLua(path) || isScript(path)) && !/^(take|renew|settle)-/.test(posix.basename(path)) && ours(path),
        (line) => /\bX(?:AUTO)?CLAIM\b/i.exec(line)?.[0] ?? null,
      ),
  },
  {
    name: 'git by its door',
    right: 'ask @nexus/shared/git, which knows the environment, the limits and the errors of git',
    find: (tree) => code(tree, ({ path }) => ours(path) && isScript(path), runsGit),
  },
  {
    name: 'environment',
    right: 'declare a setting and read it from the configuration (shared/src/config)',
    find: (tree) =>
      code(
        tree,
        ({ path }) => isScript(path) && !path.startsWith('shared/src/config/') && ours(path),
        (line) => (/\bprocess\.env\b/.test(line) ? 'process.env' : null),
        'bare',
      ),
  },
  {
    name: 'console',
    right: 'log through the telemetry, or return what is to be shown',
    find: (tree) =>
      code(
        tree,
        ({ path }) => isScript(path) && !path.startsWith('services/cli/') && ours(path),
        (line) => (/\bconsole\.\w+\(/.test(line) ? 'console' : null),
        'bare',
      ),
  },
  { name: 'file length', right: 'at most 400 lines; a longer file holds two ideas', find: longFiles },
  {
    name: 'function length',
    right: 'at most 70 lines of its own (functions inside count for themselves); name the steps, move them below',
    find: longFunctions,
  },
  { name: 'line length', right: 'at most 120 columns', find: longLines },
  { name: 'dead file', right: 'import it, name it as an entry point, or delete it', find: deadFiles },
  {
    name: 'lua scripts',
    right: '<verb>-<number of keys>.lua, opened by a header with purpose, KEYS, ARGV, returns',
    find: luaFaults,
  },
  {
    name: 'unfinished',
    right: 'finish it, or write an issue and leave the code without it',
    find: (tree) =>
      comments(
        tree,
        ({ path }) => !path.endsWith('.json'),
        (line) => unfinished.exec(line)?.[1] ?? null,
      ),
  },
  {
    name: 'tests that run',
    right: 'run every test; leave one out only with a condition and a reason that is printed',
    find: (tree) =>
      code(
        tree,
        ({ path }) => isTest(path),
        (line) => /\b(?:test|it|describe)\.(only|todo|skip)\(/.exec(line)?.[0] ?? null,
      ),
  },
  {
    name: 'names',
    right: 'name a file or folder by its role or verb; a module’s door has the module’s name',
    find: (tree) => files(tree, ({ path }) => (bannedNames.test(path) ? 'a drawer, not a name' : null)),
  },
  {
    name: 'kebab-case',
    right: 'lower case, words apart by dashes',
    find: (tree) =>
      files(tree, ({ path }) => (isScript(path) && /[A-Z_]/.test(posix.basename(path)) ? posix.basename(path) : null)),
  },
  {
    name: 'no star exports',
    right: 'name what the door offers',
    find: (tree) =>
      code(
        tree,
        ({ path }) => isScript(path),
        (line) => (/^\s*export \*/.test(line) ? 'export *' : null),
        'bare',
      ),
  },
  { name: 'every error is tested', right: 'a test that provokes the code', warns: true, find: untestedCodes },
  {
    name: 'every fabric rule is tested',
    right: 'a test whose title names it: “… (rule 9)”',
    warns: true,
    find: untestedRules,
  },
];

// --- the command -----------------------------------------------------------------------------------

/** `bus.ts:12  doors: …`, and beneath what would be right. */
export const shown = (rule: Rule, { path, line, says }: Finding): string =>
  `${path}:${line}  ${rule.name}: ${says}\n    right: ${rule.right}`;

const main = (): number => {
  const { values } = readOptions(import.meta.filename, { options: { list: { type: 'boolean' } } });
  if (values.list) {
    for (const rule of rules) console.log(`${rule.name}${rule.warns ? ' (warns)' : ''}: ${rule.right}`);
    return 0;
  }
  const tree = readTree(root);
  let failures = 0;
  for (const rule of rules) {
    const findings = rule.find(tree);
    if (rule.warns && findings.length > 0) {
      console.log(`warning: ${rule.name}: ${findings.length} not yet: ${findings.map(({ says }) => says).join(', ')}`);
      continue;
    }
    for (const finding of findings) console.log(shown(rule, finding));
    failures += findings.length;
  }
  console.log(`tidy: ${tree.size} files, ${rules.length} rules, ${failures} finding(s)`);
  return failures === 0 ? 0 : 1;
};

if (import.meta.main) process.exitCode = main();
