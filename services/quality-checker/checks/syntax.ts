/**
 * Where nothing else could fail: the changed JavaScript must at least parse, and changed JSON too. It proves little,
 * and says in its name how little.
 */
import { shellWord } from '@nexus/shared/process';
import { defineCheck } from '../define-check.ts';

/** Files with comments in them by custom, which JSON.parse would refuse. */
const lenientJson =
  /(?:^|\/)(?:[tj]sconfig[^/]*|\.?(?:eslintrc|swcrc|babelrc|jshintrc)[^/]*|devcontainer|\.vscode\/.*)\.json$/;
const filesMax = 500;

export default defineCheck({
  name: 'syntax',
  order: 90,
  lastResort: true,
  plan: ({ changed }) => {
    const scripts = changed.filter((path) => /\.[cm]?js$/.test(path)).slice(0, filesMax);
    const json = changed.filter((path) => path.endsWith('.json') && !lenientJson.test(path)).slice(0, filesMax);
    const commands = [
      ...scripts.map((path) => `node --check ${shellWord(`./${path}`)}`),
      ...json.map((path) => `node -e ${shellWord(parseJson)} ${shellWord(`./${path}`)}`),
    ];
    return commands.length === 0 ? [] : [{ name: 'syntax', command: all(commands), reads: 'nothing' }];
  },
});

const parseJson =
  'const f=process.argv[1];try{JSON.parse(fs.readFileSync(f,"utf8"))}catch(e){console.error(f+": "+e.message);process.exit(1)}';

/** One command that runs all of them, so that each mistake is seen, and fails if one failed. */
const all = (commands: string[]): string =>
  commands.length === 1 ? (commands[0] ?? '') : `s=0; ${commands.map((one) => `${one} || s=1`).join('; ')}; exit $s`;
