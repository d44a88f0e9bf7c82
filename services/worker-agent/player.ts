/**
 * The player: the child process that is a scripted agent.
 *
 * It reads `{ prompt, speed, steps }` from its standard input and carries the steps out in its current
 * folder, one after the other, as shared/src/messages/scenario.ts describes them. It knows nothing of the
 * fleet: whatever it writes, says or dies of reaches the worker the same way as from any other agent.
 */
import { spawn, spawnSync } from 'node:child_process';
import { appendFileSync, existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { dirname } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type { ScenarioStep } from '@nexus/shared/messages/scenario';

type Play = { prompt: string; speed: number; steps: ScenarioStep[] };

const play = async ({ prompt, speed, steps }: Play): Promise<void> => {
  for (const step of steps) await actions(step, prompt, speed);
};

const actions = async (step: ScenarioStep, prompt: string, speed: number): Promise<void> => {
  if (step.say !== undefined) say(step.say);
  if (step.write !== undefined) forEach(step.write, write, 'wrote');
  if (step.resolve !== undefined) forEach(step.resolve, write, 'resolved');
  if (step.append !== undefined) forEach(step.append, append, 'added to');
  if (step.replace !== undefined) replace(step.replace.path, step.replace.old, step.replace.new);
  if (step.delete !== undefined) remove([step.delete].flat());
  if (step.run !== undefined) runCommand(step.run, prompt, step.allow_fail ?? false);
  if (step.wait !== undefined) await sleep(step.wait / speed);
  if (step.plan !== undefined) leave('.nexus/plan.json', step.plan);
  if (step.report !== undefined) {
    leave(typeof step.report === 'string' ? '.nexus/report.md' : '.nexus/report.json', step.report);
  }
  if (step.commit !== undefined) commit(step.commit);
  if (step.spawn_background !== undefined) spawnBackground(step.spawn_background);
  if (step.until_told) await untilTold();
  if (step.hang) await sleep(2 ** 31 - 1);
  if (step.crash !== undefined) await crash(step.crash);
  if (step.exit !== undefined) process.exit(step.exit);
};

const say = (text: string): void => {
  process.stdout.write(`${text}\n`);
};

const giveUp = (text: string): never => {
  say(text);
  process.exit(1);
};

const forEach = (files: Record<string, string>, change: (path: string, text: string) => void, verb: string): void => {
  for (const [path, text] of Object.entries(files)) {
    change(path, text);
    say(`${verb} ${path}`);
  }
};

const write = (path: string, text: string): void => {
  mkdirSync(dirname(path), { recursive: true });
  writeFileSync(path, text);
};

const append = (path: string, text: string): void => {
  mkdirSync(dirname(path), { recursive: true });
  // A script that goes on from the work of an interrupted attempt plays from its beginning.
  if (existsSync(path) && readFileSync(path, 'utf8').endsWith(text)) return;
  appendFileSync(path, text);
};

const replace = (path: string, old: string, text: string): void => {
  const content = existsSync(path) ? readFileSync(path, 'utf8') : giveUp(`cannot replace in ${path}: no such file`);
  if (!content.includes(old) && content.includes(text)) {
    say(`${path} is changed already`);
    return;
  }
  if (!content.includes(old)) giveUp(`cannot replace in ${path}: it does not contain ${JSON.stringify(old)}`);
  writeFileSync(
    path,
    content.replaceAll(old, () => text),
  );
  say(`changed ${path}`);
};

const remove = (paths: string[]): void => {
  for (const path of paths) {
    rmSync(path, { recursive: true, force: true });
    say(`deleted ${path}`);
  }
};

const runCommand = (command: string, prompt: string, allowFail: boolean): void => {
  say(`$ ${command}`);
  const { status, signal } = spawnSync('sh', ['-c', command], { input: prompt, stdio: ['pipe', 'inherit', 'inherit'] });
  if (status === 0 || allowFail) return;
  giveUp(`\`${command}\` ended with ${signal ?? `exit code ${status}`}`);
};

const leave = (path: string, content: unknown): void =>
  write(path, typeof content === 'string' ? content : `${JSON.stringify(content, null, 2)}\n`);

const commit = (message: string): void => {
  for (const parameters of [
    ['add', '-A'],
    ['commit', '--quiet', '--allow-empty', '-m', message],
  ]) {
    const { status } = spawnSync('git', parameters, { stdio: ['ignore', 'inherit', 'inherit'] });
    if (status !== 0) giveUp(`git ${parameters[0]} ended with exit code ${status}`);
  }
  say(`committed: ${message}`);
};

const spawnBackground = (command: string): void => {
  const child = spawn('sh', ['-c', command], { detached: true, stdio: 'ignore' });
  child.unref();
  say(`started in the background: ${command}`);
};

/** What the worker tells an agent lies in a file; what was told before counts too. */
const untilTold = async (): Promise<void> => {
  while (!existsSync('.nexus/told.md')) await sleep(20);
  say(`was told: ${readFileSync('.nexus/told.md', 'utf8').trim()}`);
};

/** A signal that the process survives for a moment must not let the next step run. */
const crash = async (signal: NodeJS.Signals): Promise<void> => {
  process.kill(process.pid, signal);
  await sleep(60_000);
};

await play(JSON.parse(readFileSync(0, 'utf8')) as Play);
