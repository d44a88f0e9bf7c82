/** `nexus dlq edit`: in an editor, from a file, or field by field; checked by the fleet before anything changes. */
import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { ClientProblem, type DeadLetterDetail, type LetterEdit } from '@nexus/shared/client';
import type { Command } from 'commander';
import { nexus } from '../command-word.ts';
import { CommandFailure, toFailure } from '../exit-codes.ts';
import { findLetter } from '../find-letter.ts';
import type { Act } from '../program.ts';
import type { Tools } from '../tools.ts';

type EditOptions = { set?: string[]; unset?: string[]; file?: string; type?: string; priority?: string };

export const addDlqEdit = (dlq: Command, act: Act): void => {
  dlq
    .command('edit')
    .description('change what one carries, in $EDITOR or by options; checked before anything changes')
    .argument('<id>', 'its id, or how only that one begins')
    .option('--set <path=value>', 'set a field of the payload; JSON, else text (may be repeated)', collect)
    .option('--unset <path>', 'take a field of the payload away (may be repeated)', collect)
    .option('--file <file>', 'a whole new payload, as JSON; - reads standard input')
    .option('--type <type>', 'another kind of message')
    .option('--priority <priority>', 'critical, high, normal or low')
    .addHelpText('after', editHelp)
    .action(act(edit));
};

const editHelp = `
What it was when it died is kept beside it. Nothing is sent: \`nexus dlq replay\` does that.

Examples:
  nexus dlq edit 0198c1d2
  nexus dlq edit 0198c1d2 --set task_id=add-csv-export-x7k2p9 --set 'files=["a.txt"]'
  nexus dlq edit 0198c1d2 --type task.submitted
  nexus dlq edit 0198c1d2 --file payload.json`;

const edit = async (tools: Tools, id: string, options: EditOptions): Promise<undefined> => {
  const api = await tools.client();
  const letter = await findLetter(api, id);
  const given = editOf(letter, options);
  const changed = given === null ? await editByHand(tools, letter) : await api.edit(letter.id, given);
  if (changed === null) {
    tools.output.document(letter);
    tools.output.say('Nothing was changed.');
    return;
  }
  tools.output.document(changed);
  tools.output.say(
    `${letter.id} is changed: ${changed.type} to ${changed.service}.`,
    changed.replayable
      ? `  ${nexus} dlq replay ${letter.id}   puts it back into the inbox`
      : `  ${changed.why_not ?? 'It cannot be replayed.'}`,
  );
};

/** What the options say; null: nothing, so an editor is opened. */
const editOf = (
  { envelope: { payload } }: DeadLetterDetail,
  { set = [], unset = [], file, type, priority }: EditOptions,
): LetterEdit | null => {
  const fields = set.length + unset.length > 0;
  if (fields && file !== undefined) throw new CommandFailure('usage', 'Give --file, or --set and --unset, not both.');
  const more = { ...(type === undefined ? {} : { type }), ...(priority === undefined ? {} : { priority }) };
  if (file !== undefined) return { ...more, payload: readPayload(file) };
  if (!fields) return Object.keys(more).length > 0 ? more : null;
  const changed = structuredClone(payload ?? {});
  for (const one of set) {
    const at = one.indexOf('=');
    if (at < 1) throw new CommandFailure('usage', `--set ${one}: write it as path=value, such as --set task_id=abc`);
    place(changed, one.slice(0, at), readValue(one.slice(at + 1)));
  }
  for (const path of unset) place(changed, path, undefined);
  return { ...more, payload: changed };
};

const readPayload = (file: string): unknown => {
  try {
    return JSON.parse(readFileSync(file === '-' ? 0 : file, 'utf8'));
  } catch (error) {
    throw new CommandFailure(
      'usage',
      `${file === '-' ? 'Standard input' : file} is no JSON: ${(error as Error).message}`,
    );
  }
};

const readValue = (text: string): unknown => {
  try {
    return JSON.parse(text);
  } catch {
    return text;
  }
};

/** Puts a value where `a.b[0].c` says, making what is missing on the way; undefined takes the field away. */
export const place = (root: unknown, path: string, value: unknown): void => {
  const parts = path
    .replaceAll(/\[(\d+)\]/g, '.$1')
    .split('.')
    .filter((part) => part !== '');
  let at = root as Record<string, unknown>;
  for (const [depth, part] of parts.entries()) {
    if (typeof at !== 'object' || at === null || ['__proto__', 'constructor', 'prototype'].includes(part)) {
      throw new CommandFailure('usage', `${path}: ${parts.slice(0, depth).join('.') || 'the payload'} has no fields.`);
    }
    if (depth < parts.length - 1) at[part] ??= /^\d+$/.test(parts[depth + 1] ?? '') ? [] : {};
    else if (value !== undefined) at[part] = value;
    else if (Array.isArray(at)) at.splice(Number(part), 1);
    else delete at[part];
    at = at[part] as Record<string, unknown>;
  }
};

/** In $VISUAL or $EDITOR, until it fits or the person gives up; null where nothing was changed. */
const editByHand = async (tools: Tools, letter: DeadLetterDetail): Promise<DeadLetterDetail | null> => {
  const { ask, config, output } = tools;
  if (ask === null) {
    throw new CommandFailure('usage', 'There is no terminal for an editor: say what to change with --set or --file.');
  }
  const folder = mkdtempSync(join(tmpdir(), 'nexus-letter-'));
  const file = join(folder, `${letter.id.replaceAll(/[^\w.-]/g, '_')}.json`);
  const { type, priority, payload } = letter.envelope;
  const before = `${JSON.stringify({ type, priority, payload }, null, 2)}\n`;
  try {
    writeFileSync(file, before, { mode: 0o600 });
    for (;;) {
      const editor = config.visual ?? config.editor ?? 'vi';
      const { status, error } = spawnSync('/bin/sh', ['-c', `${editor} "$1"`, 'sh', file], { stdio: 'inherit' });
      if (error || status !== 0)
        throw new CommandFailure('refused', `${editor} ended with ${status ?? error?.message}.`);
      const text = readFileSync(file, 'utf8');
      if (text === before) return null;
      const problem = await send(tools, letter.id, text);
      if (typeof problem !== 'string') return problem;
      output.note(problem);
      if (/^n/i.test((await ask('Edit it again? [Y/n] ')).trim())) return null;
    }
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
};

/** The changed letter, or what is wrong with the text. */
const send = async (tools: Tools, id: string, text: string): Promise<DeadLetterDetail | string> => {
  let edited: LetterEdit;
  try {
    edited = JSON.parse(text) as LetterEdit;
  } catch (error) {
    return `That is no JSON: ${(error as Error).message}`;
  }
  try {
    return await (await tools.client()).edit(id, edited);
  } catch (error) {
    if (!(error instanceof ClientProblem) || error.status !== 422) throw error;
    const { message, advice } = toFailure(error);
    return [message, ...advice.map((line) => `  ${line}`)].join('\n');
  }
};

const collect = (value: string, before: string[] = []): string[] => [...before, value];
