import { describe, expect, test } from 'vitest';
import { readAgent } from './agent-definition.ts';

const file = '/somewhere/agent.md';
const withFront = (front: string, body = 'You are somebody.') => `---\n${front}\n---\n\n${body}\n`;
const read = (front: string, body?: string) => {
  const agent = readAgent(file, withFront(front, body));
  if (agent === null) throw new Error('no definition');
  return agent;
};
const refusal = (source: string) => {
  try {
    readAgent(file, source);
  } catch (error) {
    return error as { code: string; message: string };
  }
  throw new Error('it was not refused');
};

describe('a subagent file that people already have', () => {
  test('loads as it is: id and role follow from its name, keys of its own tool are kept', () => {
    const front = [
      'name: code-reviewer',
      'description: Reviews code after changes.',
      'tools: Read, Grep, Bash(git log:*, git diff:*)',
      'model: sonnet',
      'color: blue',
      'memory: project',
      'permissionMode: plan',
    ].join('\n');
    const agent = read(front, 'You are a senior reviewer.\n\n---\n\nBe kind.');
    expect(agent).toMatchObject({
      agent_id: 'code-reviewer',
      role: 'code-reviewer',
      name: 'code-reviewer',
      tools: ['Read', 'Grep', 'Bash(git log:*, git diff:*)'],
      model: 'sonnet',
      memory: null,
      extra: { color: 'blue', memory: 'project', permissionMode: 'plan' },
      persona: 'You are a senior reviewer.\n\n---\n\nBe kind.',
    });
  });

  test('gets an id even from a name in capitals with spaces', () => {
    expect(read('name: Sr. Code Reviewer\ndescription: Reviews.').agent_id).toBe('sr-code-reviewer');
  });

  test('inherits the model and may use every tool if it says nothing of them', () => {
    expect(read('name: a\ndescription: b\ntools:\nmodel:')).toMatchObject({ tools: [], model: 'inherit' });
  });

  test('loads though its description is no YAML, the examples staying part of it', () => {
    const front = [
      'name: quality-enforcer',
      'description: Use this agent for quality. Examples: <example>user: "Check it" assistant: "I will"</example>',
      '',
      'Context: somebody wants an analysis.',
      'user: "Can you look?"',
      'model: opus',
      'color: red',
    ].join('\n');
    const agent = read(front);
    expect(agent).toMatchObject({ agent_id: 'quality-enforcer', model: 'opus', extra: { color: 'red' } });
    expect(agent.description).toMatch(/^Use this agent for quality\.[\s\S]*Can you look\?"$/);
  });

  test('shows line breaks that a tool wrote as \\n', () => {
    expect(read('name: a\ndescription: One.\\nTwo.').description).toBe('One.\nTwo.');
  });

  test('reads the same with Windows line ends and a byte order mark', () => {
    const source = `\uFEFF${withFront('name: a\ndescription: b').replaceAll('\n', '\r\n')}`;
    expect(readAgent(file, source)).toMatchObject({ agent_id: 'a', persona: 'You are somebody.' });
  });
});

describe('our own keys', () => {
  test('are read whole, lists as lists or with commas', () => {
    const agent = read(`name: Aria
description: Coordinates.
agent_id: aria_coordinator
role: coordinator
tools: [Read, Grep]
traits: analytical, organized
communication_style: Structured.
expertise: [planning]
runtime: {temperature: 0.3, max_tokens: 4000}
memory: {learning_patterns: [expertise]}
health: {}
limits: {time_box_minutes: 20, usd: 1.5}`);
    expect(agent).toMatchObject({
      agent_id: 'aria_coordinator',
      role: 'coordinator',
      tools: ['Read', 'Grep'],
      traits: ['analytical', 'organized'],
      communication_style: 'Structured.',
      decision_making: null,
      runtime: { temperature: 0.3, max_tokens: 4000 },
      memory: { conversation_retention: 'full', learning_patterns: ['expertise'], context_preservation: [] },
      health: { heartbeat_interval_seconds: 60, max_response_time_seconds: 120, restart_threshold: 3 },
      limits: { time_box_minutes: 20, usd: 1.5 },
    });
  });

  test('take a runtime by its name alone', () => {
    expect(read('name: a\ndescription: b\nruntime: scripted').runtime).toEqual({ name: 'scripted' });
  });
});

test('a file without front matter is no definition', () => {
  expect(readAgent(file, '# Notes\n\nNothing here.')).toBeNull();
  expect(readAgent(file, 'Hello\n---\nname: a\n---\n')).toBeNull();
});

test.each([
  ['agent_id: Not An Id', /agent_id: lower-case letters/],
  ['role: Chief Engineer', /role: lower-case letters/],
  ['runtime: {temperature: 3}', /runtime\.temperature: /],
  ['runtime: {heat: 1}', /runtime: .*heat/],
  ['health: {restart_threshold: many}', /health\.restart_threshold: /],
  ['limits: {time_box_minutes: 500}', /limits\.time_box_minutes: is over 120 minutes/],
  ['limits: {time_box_minutes: 90}', /limits\.time_box_minutes: .*needs time_box_level: "warning"/],
  ['limits: {time_box_minutes: 90, time_box_level: caution}', /is "caution", but 90 minutes are "warning"/],
  ['memory: everything', /memory: /],
  ['traits: {a: b}', /traits: /],
  ['comunication_style: Direct', /comunication_style: .*did you mean communication_style\?/],
  ['agentId: prime', /agentId: .*did you mean agent_id\?/],
])('%s is refused with file and field', (line, says) => {
  const error = refusal(withFront(`name: a\ndescription: b\n${line}`));
  expect(error).toMatchObject({ code: 'DEFINITION_INVALID' });
  expect(error.message).toContain(file);
  expect(error.message).toMatch(says);
});

test('a definition without a name is refused, with the line', () => {
  const error = refusal(withFront('description: b'));
  expect(error.message).toBe(`${file} is not a valid definition: line 1: name: is missing`);
});

test.each(['[unclosed', '../../etc/passwd', '/etc/passwd', '"[a, b]"'])(
  '%s is no name, and its line is told',
  (name) => {
    const { code, message } = refusal(withFront(`description: Does it.\nname: ${name}`));
    expect([code, message]).toEqual([
      'DEFINITION_INVALID',
      expect.stringMatching(/line 3: name: .*neither a list nor a path/),
    ]);
  },
);

test.each(['UI/UX Designer', 'C++ expert', 'dr. no'])('%s is a name', (name) => {
  expect(read(`name: ${name}\ndescription: Does it.`).name).toBe(name);
});

test('a key that nobody knows is refused with its line, unless it begins with x-', () => {
  const error = refusal(withFront('name: a\ndescription: b\n\nshoe_size: 43'));
  expect(error.message).toContain('line 5: shoe_size: there is no such key; a key of your own begins with x-');
  expect(read('name: a\ndescription: b\nx-shoe: 43').extra).toEqual({ 'x-shoe': 43 });
});

test.each(['temperature', 'max_tokens'])('%s at the top of a definition is told its place, and who knows it', (key) => {
  const { message } = refusal(withFront(`name: a\ndescription: b\n${key}: 1`));
  expect(message).toContain(`line 4: ${key}: it belongs below \`runtime:\`, and counts for \`name: openai\` alone`);
});

test('a tool that nobody knows is refused with its line and the one that was meant', () => {
  const error = refusal(withFront('name: a\ntools: Read, web_serch, Hammer\ndescription: b'));
  expect(error.message).toContain('line 3: tools: there is no tool "web_serch"; did you mean WebSearch?');
  expect(error.message).toContain('line 3: tools: there is no tool "Hammer"; ');
  expect(refusal(withFront('name: a\ntools: Hammer')).message).toMatch(/description: is missing; line 3: tools: /);
  const theirs = 'name: a\ndescription: Says: "this" is: no YAML\ntools: Read, Hammer';
  expect(refusal(withFront(theirs)).message).toContain('line 4: tools: there is no tool "Hammer"');
});

test('names of tools in common use mean those of Claude Code', () => {
  const names = 'web_search, file_editing, git_operations, coverage tools, mcp__docs__find, grep';
  expect(read(`name: a\ndescription: b\ntools: ${names}`)).toMatchObject({
    tools: ['WebSearch', 'WebFetch', 'Edit', 'Write', 'Bash', 'mcp__docs__find', 'Grep'],
    disallowed_tools: ['Bash(git push*)'],
  });
  expect(read('name: a\ndescription: b\ntools: git_operations').tools).toEqual(['Bash(git *)']);
  expect(read('name: a\ndescription: b\ntools: "*"').tools).toEqual([]);
});

test('everything that is wrong in a file is named at once', () => {
  const error = refusal('---\nagent_id: X\nrole: Y Z\n---\n');
  expect(error.message).toMatch(/name: .*description: .*agent_id: .*role: .*the body is empty/);
});

test('broken YAML in a file of ours is refused with its line', () => {
  const error = refusal(withFront('name: a\nagent_id: a\ndescription: see: this: here'));
  expect(error.message).toMatch(/line 4: Nested mappings/);
});

test('a name from which no id can be made asks for one', () => {
  expect(refusal(withFront('name: "小明"\ndescription: b')).message).toMatch(/name: no agent_id can be made/);
});
