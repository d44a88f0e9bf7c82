/**
 * The names of tools: those of Claude Code, which all definitions speak here, and names in common use, each with
 * what it means in Claude Code's. To add a name: one line in a table.
 */

/** Tools of Claude Code that a definition may name; `mcp__server__tool` beside them. */
export const claudeTools = [
  ...['Agent', 'AskUserQuestion', 'Bash', 'BashOutput', 'Edit', 'EnterPlanMode', 'EnterWorktree', 'ExitPlanMode'],
  ...['ExitWorktree', 'Glob', 'Grep', 'KillBash', 'KillShell', 'LS', 'LSP', 'ListMcpResourcesTool', 'Monitor'],
  ...['MultiEdit', 'NotebookEdit', 'NotebookRead', 'PowerShell', 'Read', 'ReadMcpResourceTool', 'SendMessage', 'Skill'],
  ...['SlashCommand', 'StructuredOutput', 'Task', 'TaskCreate', 'TaskGet', 'TaskList', 'TaskOutput', 'TaskStop'],
  ...['TaskUpdate', 'TodoRead', 'TodoWrite', 'ToolSearch', 'WebFetch', 'WebSearch', 'Write'],
] as const;

/** Names in common use → the tools meant; `denied` is what the name never includes. */
export const commonTools: Readonly<Record<string, { tools: readonly string[]; denied?: readonly string[] }>> = {
  web_search: { tools: ['WebSearch', 'WebFetch'] },
  file_analysis: { tools: ['Read', 'Grep', 'Glob'] },
  code_analysis: { tools: ['Read', 'Grep', 'Glob'] },
  file_editing: { tools: ['Edit', 'Write'] },
  code_execution: { tools: ['Bash'] },
  terminal_access: { tools: ['Bash'] },
  test_runners: { tools: ['Bash'] },
  coverage_tools: { tools: ['Bash'] },
  debugging_tools: { tools: ['Bash'] },
  performance_monitors: { tools: ['Bash'] },
  security_scanners: { tools: ['Bash'] },
  git_operations: { tools: ['Bash(git *)'], denied: ['Bash(git push*)'] },
  documentation_tools: { tools: ['Read', 'Edit', 'Write'] },
};

const inAnyCase = new Map<string, string>(claudeTools.map((name) => [name.toLowerCase(), name]));
/** Every tool that there is: what an empty list says, too. */
const all = new Set(['*', 'all']);

export type Tools = {
  /** As Claude Code spells them, each once; empty: every tool that the runtime has. */
  allowed: string[];
  denied: string[];
  /** Names that nobody knows, as they were written. */
  unknown: string[];
};

/** The tools that a list of names means. */
export const resolveTools = (names: readonly string[]): Tools => {
  const tools: Tools = { allowed: [], denied: [], unknown: [] };
  for (const name of names) {
    const common = commonTools[name.toLowerCase().replaceAll(/[ -]/g, '_')];
    const [, plain = '', rest = ''] = /^([^()]*?)\s*(\(.*\))?$/s.exec(name) ?? [];
    const known = /^mcp__\w/.test(plain) ? plain : inAnyCase.get(plain.toLowerCase());
    if (common) {
      tools.allowed.push(...common.tools);
      tools.denied.push(...(common.denied ?? []));
    } else if (known) tools.allowed.push(`${known}${rest}`);
    else if (!all.has(name.toLowerCase())) tools.unknown.push(name);
  }
  if (names.some((name) => all.has(name.toLowerCase()))) tools.allowed = [];
  const allowed = [...new Set(tools.allowed)];
  // Whoever may run every command may run git, too: only what is narrower than a tool narrows it.
  const whole = new Set(allowed.filter((name) => !name.includes('(')));
  return {
    allowed: allowed.filter((name) => whole.has(name) || !whole.has(name.split('(')[0] as string)),
    denied: [...new Set(tools.denied)],
    unknown: tools.unknown,
  };
};

/** Every name that a definition may use, for finding the one that was meant. */
export const allToolNames: readonly string[] = [...claudeTools, ...Object.keys(commonTools)];
