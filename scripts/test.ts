/**
 * `npm test`: every test that this machine can run, part by part, with what was left out and why.
 *
 *   npm test                     everything; the containers only where Docker answers
 *   NEXUS_E2E=off npm test       without the containers
 *
 * The last line is `N passed, N failed` (and `, N skipped` where some were): static checks count as one
 * each, tests one by one. Exit code 1 if anything failed.
 */
import { spawnSync } from 'node:child_process';
import { closingLine, inLanes, lineOf, type Part, parts, type Result, runPart } from './parts.ts';

const main = async (): Promise<number> => {
  const began = performance.now();
  const fixed: Part[] = [parts.types, parts.lint, parts.tidy, parts.docs];
  const results = await inLanes(
    2,
    fixed.map((part) => () => told(part)),
  );
  const why = withoutContainers();
  const live: Part[] = [parts.unit, parts.simulation, parts.integration, ...(why ? [] : [parts.e2e])];
  for (const part of live) {
    console.log(`\n— ${part.name}`);
    results.push(await told(part, { live: true }));
  }
  console.log('');
  for (const result of results) console.log(lineOf(result));
  if (why) console.log(`left out  e2e: ${why}`);
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

process.exitCode = await main();
