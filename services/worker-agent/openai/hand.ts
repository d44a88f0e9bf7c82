/** Which tools an agent has, and what its calls of them come to. */
import { toAppError } from '@nexus/shared/errors';
import type { ToolCall } from '@nexus/shared/model';
import { ZodError } from 'zod';
import type { AgentEvent } from '../runtimes.ts';
import { clip } from './clip.ts';
import { fileTools } from './file-tools.ts';
import { type Finish, finishInput, finishTool } from './finish.ts';
import { NotInside } from './inside.ts';
import { programTools } from './program-tools.ts';
import type { Hands, Tool } from './tool.ts';

const all: readonly Tool[] = [...fileTools, ...programTools];
/** Tools as agent definitions name them, which is how Claude Code spells them. */
const ours: Record<string, string[]> = {
  Read: ['read', 'list'],
  NotebookRead: ['read'],
  LS: ['list'],
  Glob: ['list', 'search'],
  Grep: ['search'],
  Write: ['write'],
  Edit: ['edit'],
  MultiEdit: ['edit'],
  NotebookEdit: ['edit'],
  Bash: ['run'],
};

/**
 * The tools of an agent: those that its definition names, all if it names none, but for what it forbids as a whole.
 * Everybody may leave notes.
 */
export const toolsOf = (
  named: readonly string[],
  forbidden: readonly string[] = [],
): { tools: Tool[]; onlyNotes: boolean } => {
  const given = named.length === 0 ? Object.keys(ours) : named.map((name) => name.replace(/\(.*/, ''));
  const names = new Set(given.flatMap((name) => ours[name] ?? []));
  for (const name of forbidden.flatMap((one) => ours[one] ?? [])) names.delete(name);
  const onlyNotes = !names.has('write') && !names.has('edit');
  if (onlyNotes) names.add('write');
  return { tools: [...all.filter(({ name }) => names.has(name)), finishTool], onlyNotes };
};

export type Done = { results: { id: string; content: string }[]; finish: Finish | null };

/**
 * Does what the calls ask: those that change something one after the other, in the order in which they were asked
 * for, those in between side by side. A call that cannot be done is answered by why. Throws only the abort's reason.
 */
export const doCalls = async (
  calls: readonly ToolCall[],
  tools: readonly Tool[],
  hands: Hands,
  onEvent: (event: AgentEvent) => void,
): Promise<Done> => {
  const results: Done['results'] = [];
  let finish: Finish | null = null;
  const one = async (call: ToolCall): Promise<{ id: string; content: string }> => {
    const input = jsonOf(call.input);
    onEvent({ kind: 'tool_call', id: call.id, tool: call.tool, input: input ?? call.input });
    const { ok, text } = await doCall(call, input, tools, hands);
    hands.signal.throwIfAborted();
    onEvent({ kind: 'tool_result', id: call.id, ok, text });
    if (ok && call.tool === finishTool.name) finish = finishInput.parse(input);
    return { id: call.id, content: text };
  };
  for (const group of groupsOf(calls, tools)) results.push(...(await Promise.all(group.map(one))));
  return { results, finish };
};

/** Neighbours that change nothing stand together; every other call stands alone. */
const groupsOf = (calls: readonly ToolCall[], tools: readonly Tool[]): ToolCall[][] => {
  const groups: ToolCall[][] = [];
  let open = false;
  for (const call of calls) {
    const looks = tools.find(({ name }) => name === call.tool)?.changes === false;
    if (looks && open) groups.at(-1)?.push(call);
    else groups.push([call]);
    open = looks;
  }
  return groups;
};

const doCall = async (
  call: ToolCall,
  input: unknown,
  tools: readonly Tool[],
  hands: Hands,
): Promise<{ ok: boolean; text: string }> => {
  const tool = tools.find(({ name }) => name === call.tool);
  if (tool === undefined) {
    return {
      ok: false,
      text: `There is no tool "${call.tool}". There are: ${tools.map(({ name }) => name).join(', ')}.`,
    };
  }
  if (input === undefined) return { ok: false, text: 'The input is no JSON, so nothing was done. Call it again.' };
  try {
    return { ok: true, text: clip(await tool.run(input, hands), hands.outputBytesMax * 2) || '(nothing)' };
  } catch (thrown) {
    if (hands.signal.aborted) throw hands.signal.reason;
    return { ok: false, text: clip(reasonOf(thrown), hands.outputBytesMax) };
  }
};

const reasonOf = (thrown: unknown): string => {
  if (thrown instanceof NotInside) return `That was not done: ${thrown.message}.`;
  if (thrown instanceof ZodError) {
    const problems = thrown.issues.map(({ path, message }) => `${path.join('.') || 'input'}: ${message}`);
    return `That was not done, for its input does not fit: ${problems.join('; ')}.`;
  }
  return `That failed: ${toAppError(thrown).message}`;
};

/** The input of a call; undefined if it is no JSON. Nothing at all stands for no input, as some servers send it. */
export const jsonOf = (text: string): unknown => {
  if (text.trim() === '') return {};
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
};
