/**
 * Other agents' command lines that can be read by a machine, as data: how they are called, and what their events mean.
 * An agent command that is the bare name of one (`--agent-command codex`) is run so.
 *
 * Taken from what they publish of themselves (November 2026): codex 0.169, gemini-cli 0.61, opencode 1.18. An event
 * that is not known here is passed over, so a newer version loses words, not work.
 *
 * To add one: an entry here, and its events in `presets.test.ts`.
 */

/** What an event means, if all of `when` stand in it; `take` says where its parts stand (`a.b` is b in a). */
export type Rule =
  | { when: Record<string, string>; means: 'session'; take: { id: string } }
  | { when: Record<string, string>; means: 'text'; take: { text: string } }
  | { when: Record<string, string>; means: 'thinking'; take: { text: string } }
  | { when: Record<string, string>; means: 'call'; take: { id: string; tool?: string; input: string }; tool?: string }
  | { when: Record<string, string>; means: 'result'; take: { id: string; text: string; bad?: string }; good?: string }
  | {
      when: Record<string, string>;
      means: 'usage';
      take: { input: string; output: string; cacheRead?: string; cacheWrite?: string; usd?: string };
      /** Tokens from a cache are counted among the input tokens. */
      cacheInInput: boolean;
      /** It tells all of the run so far, not what came since the one before. */
      total: boolean;
    }
  | { when: Record<string, string>; means: 'error'; take: { message: string } }
  | { when: Record<string, string>; means: 'model'; take: { model: string } };

export type Preset = {
  program: string;
  /** Who answers it, where the model that is asked for does not say so itself. */
  provider: string;
  /** The prompt comes on standard input. */
  run: string[];
  /** `{session}` is the conversation to go on with. */
  resume: string[];
  /** Added where the agent names a model; `{model}` is its name. */
  model: string[];
  /** Folders below HOME in which it keeps its login and its conversations. */
  writes: string[];
  /** What in them tells of other work, by patterns: in the sandbox each subtask has its own in the place of these. */
  apart: string[];
  rules: Rule[];
  /** What its exit codes say, beside 0. */
  exits: Record<number, string>;
};

const codexOptions = ['--json', '--skip-git-repo-check', '--sandbox', 'workspace-write'];
const geminiOptions = ['--output-format', 'stream-json', '--approval-mode', 'yolo', '--skip-trust'];
const opencodeOptions = ['--format', 'json', '--auto'];

export const presets: Readonly<Record<string, Preset>> = {
  codex: {
    program: 'codex',
    provider: 'openai',
    run: ['exec', ...codexOptions, '-'],
    resume: ['exec', 'resume', '{session}', ...codexOptions, '-'],
    model: ['--model', '{model}'],
    writes: ['.codex'],
    apart: [
      ...['sessions', 'archived_sessions', 'session_index.jsonl', 'history.jsonl', 'log', 'memories'],
      ...['shell_snapshots', '*.sqlite*'],
    ],
    exits: {},
    rules: [
      { when: { type: 'thread.started' }, means: 'session', take: { id: 'thread_id' } },
      { when: { type: 'item.completed', 'item.type': 'agent_message' }, means: 'text', take: { text: 'item.text' } },
      { when: { type: 'item.completed', 'item.type': 'reasoning' }, means: 'thinking', take: { text: 'item.text' } },
      {
        when: { type: 'item.started', 'item.type': 'command_execution' },
        means: 'call',
        take: { id: 'item.id', input: 'item.command' },
        tool: 'shell',
      },
      {
        when: { type: 'item.completed', 'item.type': 'command_execution' },
        means: 'result',
        take: { id: 'item.id', text: 'item.aggregated_output', bad: 'item.exit_code' },
        good: '0',
      },
      {
        when: { type: 'item.completed', 'item.type': 'file_change' },
        means: 'call',
        take: { id: 'item.id', input: 'item.changes' },
        tool: 'file_change',
      },
      {
        when: { type: 'turn.completed' },
        means: 'usage',
        take: {
          input: 'usage.input_tokens',
          output: 'usage.output_tokens',
          cacheRead: 'usage.cached_input_tokens',
        },
        cacheInInput: true,
        total: false,
      },
      { when: { type: 'turn.failed' }, means: 'error', take: { message: 'error.message' } },
      { when: { type: 'error' }, means: 'error', take: { message: 'message' } },
    ],
  },
  gemini: {
    program: 'gemini',
    provider: 'google',
    run: geminiOptions,
    resume: [...geminiOptions, '--resume', '{session}'],
    model: ['--model', '{model}'],
    writes: ['.gemini'],
    apart: ['tmp', 'history', 'projects.json', 'antigravity*'],
    exits: { 42: 'it could not use what it was given', 53: 'it came to its limit of turns' },
    rules: [
      { when: { type: 'init' }, means: 'session', take: { id: 'session_id' } },
      { when: { type: 'init' }, means: 'model', take: { model: 'model' } },
      { when: { type: 'message', role: 'assistant' }, means: 'text', take: { text: 'content' } },
      { when: { type: 'tool_use' }, means: 'call', take: { id: 'tool_id', tool: 'tool_name', input: 'parameters' } },
      {
        when: { type: 'tool_result' },
        means: 'result',
        take: { id: 'tool_id', text: 'output', bad: 'status' },
        good: 'success',
      },
      { when: { type: 'error' }, means: 'error', take: { message: 'message' } },
      { when: { type: 'result', status: 'error' }, means: 'error', take: { message: 'error.message' } },
      {
        when: { type: 'result' },
        means: 'usage',
        take: { input: 'stats.input_tokens', output: 'stats.output_tokens', cacheRead: 'stats.cached' },
        cacheInInput: true,
        total: true,
      },
    ],
  },
  opencode: {
    program: 'opencode',
    provider: 'opencode',
    run: ['run', ...opencodeOptions],
    resume: ['run', ...opencodeOptions, '--session', '{session}'],
    model: ['--model', '{model}'],
    writes: ['.local/share/opencode', '.config/opencode', '.cache/opencode', '.local/state/opencode'],
    apart: ['storage', 'project', 'snapshot', 'worktree', 'tool-output', 'log', '*.db*', '*.jsonl'],
    exits: {},
    rules: [
      { when: { type: 'step_start' }, means: 'session', take: { id: 'sessionID' } },
      { when: { type: 'text' }, means: 'text', take: { text: 'part.text' } },
      { when: { type: 'reasoning' }, means: 'thinking', take: { text: 'part.text' } },
      {
        when: { type: 'tool_use' },
        means: 'call',
        take: { id: 'part.callID', tool: 'part.tool', input: 'part.state.input' },
      },
      {
        when: { type: 'tool_use' },
        means: 'result',
        take: { id: 'part.callID', text: 'part.state.output', bad: 'part.state.status' },
        good: 'completed',
      },
      {
        when: { type: 'step_finish' },
        means: 'usage',
        take: {
          input: 'part.tokens.input',
          output: 'part.tokens.output',
          cacheRead: 'part.tokens.cache.read',
          cacheWrite: 'part.tokens.cache.write',
          usd: 'part.cost',
        },
        cacheInInput: false,
        total: false,
      },
      { when: { type: 'error' }, means: 'error', take: { message: 'error.data.message' } },
    ],
  },
};

/** What their errors call a provider that takes no more for now: a rate, a quota, a window. */
export const limitWords = /\b(429|529)\b|rate.?limit|too many requests|quota|usage limit|overloaded|window is used up/i;

/** The preset that a command is the bare name of. */
export const presetOf = (command: string): Preset | null =>
  Object.hasOwn(presets, command.trim()) ? (presets[command.trim()] ?? null) : null;
