/**
 * A command as the chain of commands that it is: `lint && node --test`, with the scripts of the manifest that it runs
 * put in their places. A failing part keeps those after it from running, so the exit code of a chain says which part
 * failed only where we know that the last one was reached.
 */

/** The parts, in their order; a command that is no chain is its only part. */
export const chainOf = (command: string, scripts: Readonly<Record<string, string>>, depth = 0): string[] => {
  const parts = split(command);
  return parts.flatMap((part) => {
    const name = scriptOf(part, scripts);
    if (name === null || depth === depthMax) return [part];
    const around = [`pre${name}`, name, `post${name}`].flatMap((one) => scripts[one] ?? []);
    return around.flatMap((text) => chainOf(text, scripts, depth + 1));
  });
};

/**
 * Whether tests that failed in this chain are all that kept it from passing: it is one command, or its last part is the
 * only one that runs tests, so that its counts show that everything before it went well and nothing comes after.
 */
export const endsInItsTests = (chain: readonly string[]): boolean =>
  chain.length === 1 || (runsTests(chain.at(-1) ?? '') && !chain.slice(0, -1).some(runsTests));

const depthMax = 5;

const runsTests = (part: string): boolean => runners.some((runner) => runner.test(part));
const runners = [
  /(?:\s|^)--test(?:[\s=-]|$)/,
  /(?:^|[\s/])(?:vitest|jest|mocha|ava|uvu|tape?|playwright)(?:\s|$)/,
  /\b(?:bun|deno|react-scripts) test\b/,
];

/** The script that a part runs: `npm test`, `npm run x`, `yarn x`; null for any other command. */
const scriptOf = (part: string, scripts: Readonly<Record<string, string>>): string | null => {
  const [, name] = /^(?:npm|pnpm|yarn|bun)(?: +(?:run|run-script|-s|--silent))* +([\w:.-]+)(?: .*)?$/.exec(part) ?? [];
  const full = name === 't' ? 'test' : name;
  return full !== undefined && scripts[full] !== undefined ? full : null;
};

/** At `&&` and `;` outside of quotes and brackets; what is bound by `||` is one part. */
const split = (command: string): string[] => {
  const parts: string[] = [];
  let part = '';
  let quote = '';
  let nested = 0;
  for (let at = 0; at < command.length; at++) {
    const one = command[at] ?? '';
    if (quote !== '') quote = one === quote ? '' : quote;
    else if (one === '"' || one === "'") quote = one;
    else if (one === '(' || one === '{') nested += 1;
    else if (one === ')' || one === '}') nested -= 1;
    else if (nested === 0 && (one === ';' || one === '\n' || command.startsWith('&&', at))) {
      parts.push(part);
      part = '';
      at += one === '&' ? 1 : 0;
      continue;
    }
    part += one;
  }
  return [...parts, part].map((text) => text.trim()).filter((text) => text !== '');
};
