/**
 * `npm test`: every test that this machine can run, part by part, with what was left out and why.
 *
 *   npm test                     everything; the containers only where Docker answers
 *   NEXUS_E2E=off npm test       without the containers
 *   NEXUS_CHAOS=off npm test     without the run that kills and stops a fleet by a fresh seed, which is printed
 *   npm test -- unit e2e         only these parts
 *
 * The last line is `N passed, N failed` (and `, N skipped` where some were): static checks count as one
 * each, tests one by one. Exit code 1 if anything failed.
 */
import { spawnSync } from 'node:child_process';
import {
  closingLine,
  failedLines,
  inLanes,
  leftOutLines,
  lineOf,
  type Part,
  parts,
  type Result,
  runPart,
} from './parts.ts';
import { onPath } from './provide-redis.mjs';

const main = async (): Promise<number> => {
  const wanted = process.argv.slice(2);
  const unknown = wanted.filter((name) => !Object.hasOwn(parts, name));
  if (unknown.length > 0) {
    console.error(`there is no part ${unknown.join(', ')}; there are: ${Object.keys(parts).join(', ')}`);
    return 2;
  }
  const began = performance.now();
  const chosen = Object.entries(parts).filter(([name]) => wanted.length === 0 || wanted.includes(name));
  const leftOut = new Map(
    [
      { part: parts.e2e, why: wanted.includes('e2e') ? undefined : withoutContainers() },
      { part: parts.chaos, why: wanted.includes('chaos') ? undefined : withoutChaos() },
    ].flatMap(({ part, why }): [Part, string][] => (why === undefined ? [] : [[part, why]])),
  );
  const run: Part[] = chosen.map(([, part]) => part).filter((part) => !leftOut.has(part));
  const results = await inLanes(
    2,
    run.filter(({ alone }) => !alone).map((part) => () => told(part)),
  );
  for (const part of run.filter(({ alone }) => alone)) {
    console.log(`\n— ${part.name}`);
    results.push(await told(part, { live: true }));
  }
  console.log('');
  if (results.length > 1) for (const result of results) console.log(lineOf(result));
  if (wanted.length > 0) console.log(`left out  all but ${wanted.join(', ')}: as asked`);
  else for (const [{ name }, why] of leftOut) console.log(`left out  ${name}: ${why}`);
  for (const line of [...leftOutLines(results), ...failedLines(results)]) console.log(line);
  console.log(`in ${((performance.now() - began) / 1000).toFixed(0)} s`);
  console.log(closingLine(results));
  return results.every(({ ok }) => ok) ? 0 : 1;
};

/** Runs a part and prints its line; the output of one that failed, unless it was shown already. */
const told = async (part: Part, options: { live?: boolean } = {}): Promise<Result> => {
  const result = await runPart(part, options);
  console.log(lineOf(result));
  if (!result.ok && !options.live) console.log(result.output);
  return result;
};

/** Why the tests with containers cannot run here, or undefined if they can. */
const withoutContainers = (): string | undefined => {
  if (process.env.NEXUS_E2E === 'off') return 'NEXUS_E2E is off';
  const docker = spawnSync('docker', ['info'], { stdio: 'ignore', timeout: 10_000 });
  if (docker.status !== 0) return 'no Docker engine answers on this machine';
  const compose = spawnSync('docker', ['compose', 'version'], { stdio: 'ignore', timeout: 10_000 });
  return compose.status === 0 ? undefined : 'Docker has no Compose plugin here';
};

/** Why a fleet cannot be hurt here, or undefined if it can: the checker reads the process table as Linux has it. */
const withoutChaos = (): string | undefined => {
  if (process.env.NEXUS_CHAOS === 'off') return 'NEXUS_CHAOS is off';
  if (process.platform !== 'linux') return 'it needs Linux';
  return onPath('redis-server') ? undefined : 'it kills a redis-server of its own, and none is installed';
};

process.exitCode = await main();
