import { expect, test } from 'vitest';
import { readAgent } from './agent-definition.ts';
import { openCatalog } from './catalog.ts';
import { importProfiles } from './profile.ts';
import { writeAgent } from './write-agent.ts';

const json = {
  agent_id: 'Gamma_Tester',
  name: 'Gamma',
  role: 'Release Tester',
  personality_profile: {
    core_traits: ['calm', 'exact'],
    communication_style: 'short',
    decision_making: 'by evidence',
    collaboration_style: 'helps',
    stress_response: 'slows down',
  },
  expertise_areas: ['release testing'],
  capabilities: ['smoke tests'],
  claude_configuration: {
    model: 'claude-opus-5-5',
    max_tokens: 4000,
    temperature: 0.2,
    system_prompt: 'You are Gamma.\n\nYou test releases.',
    tools_enabled: ['file_editing', 'git_operations', 'telepathy'],
  },
  memory_system: {
    conversation_retention: 'full_history',
    learning_patterns: ['bug patterns'],
    context_preservation: ['coverage'],
  },
};

test('a profile in JSON becomes a definition with all that it says', () => {
  const [imported] = importProfiles('gamma.json', JSON.stringify(json));
  expect(imported?.agent).toMatchObject({
    agent_id: 'gamma_tester',
    name: 'Gamma',
    role: 'release-tester',
    persona: 'You are Gamma.\n\nYou test releases.',
    traits: ['calm', 'exact'],
    communication_style: 'short',
    stress_response: 'slows down',
    expertise: ['release testing'],
    capabilities: ['smoke tests'],
    tools: ['Edit', 'Write', 'Bash(git *)'],
    disallowed_tools: ['Bash(git push*)'],
    model: 'claude-opus-5-5',
    runtime: { temperature: 0.2, max_tokens: 4000 },
    memory: { conversation_retention: 'full', learning_patterns: ['bug patterns'], context_preservation: ['coverage'] },
  });
  expect(imported?.notices).toEqual(['Tools that nobody knows were left out: telepathy.']);
});

test('a profile in YAML becomes one, too, and what has no effect here is named', () => {
  const yaml = `agent:
  id: delta
  name: Delta
  role: developer
  personality: {traits: [bold], communication_style: direct}
  claude_code: {model: sonnet, system_prompt: You are Delta.}
  capabilities: {primary: [code generation], secondary: [refactoring]}
  memory: {retention_policy: summary, max_conversations: 50, context_window_size: 8000}
  health: {heartbeat_interval: 30s, max_response_time: 2m, restart_threshold: 5}
`;
  const [imported] = importProfiles('delta.yaml', yaml);
  expect(imported?.agent).toMatchObject({
    agent_id: 'delta',
    role: 'developer',
    traits: ['bold'],
    expertise: ['code generation'],
    capabilities: ['code generation', 'refactoring'],
    memory: { conversation_retention: 'summary' },
    health: { heartbeat_interval_seconds: 30, max_response_time_seconds: 120, restart_threshold: 5 },
  });
  expect(imported?.notices).toEqual([
    expect.stringContaining('memory.max_conversations has no effect'),
    expect.stringContaining('memory.context_window_size has no effect'),
  ]);
});

test('a list of profiles is imported as a whole, and a profile without a prompt says so', () => {
  const all = importProfiles('all.json', JSON.stringify([json, { agent_id: 'e', name: 'Eve', role: 'analyst' }]));
  expect(all.map(({ agent }) => agent.agent_id)).toEqual(['gamma_tester', 'e']);
  expect(all[1]?.agent.persona).toBe('You are Eve, an analyst.');
  expect(all[1]?.notices).toEqual(['The profile has no system_prompt: one sentence stands for it.']);
});

test.each([
  ['{"agent_id": "a", "nme": "A"}', /line 1: name: is missing; line 1: nme: there is no such key/],
  [
    '{"agent_id": "a", "name": "A", "claude_configuration": {"heat": 1}}',
    /claude_configuration\.heat: there is no such/,
  ],
  ['agent: {id: a}', /agent\.name: /],
  ['agent:\n  id: a\n  name: [', /line \d: /],
  [
    '{"agent_id": "a", "name": "A", "claude_configuration": {"model": "claude-3-opus-20240229"}}',
    /claude_configuration\.model: "claude-3-opus-20240229" is retired; opus takes its place/,
  ],
  ['[]', /holds no profile/],
  ['just words', /a profile is an object/],
])('%s is refused with the field', (source, says) => {
  expect(() => importProfiles('p.yaml', source)).toThrow(says);
});

test('text that begins like JSON and is none is refused in the words of its parser', () => {
  expect(() => importProfiles('p.json', '{"agent_id": ')).toThrow(/p\.json is not a valid definition: .*JSON/);
});

test('a mistake in JSON is told on one line with its line, and a field that is not there is missing', () => {
  const broken = '{\n"agent_id": "a",\n "name" 2\n}';
  expect(() => importProfiles('p.json', broken)).toThrow(/: line 3: Expected ':' after property name in JSON$/);
  expect(() => importProfiles('p.json', '{\n"agent_id": \n')).toThrow(/: line 2: Unexpected end of JSON input$/);
  expect(() => importProfiles('p.json', '{\n"agent_id": nope,\n"name": "A"}')).toThrow(
    /p\.json is not a valid definition: Unexpected token 'o': it is no JSON$/,
  );
  expect(() => importProfiles('p.json', '{"agent_id": "a"}')).toThrow(/name: is missing$/);
});

test('what is wrong in a profile has its line, in JSON and in YAML, alone or in a list', () => {
  const yaml = 'agent:\n  id: a\n  name: A\n  claude_code:\n    modle: opus\n  nme: B\n';
  expect(() => importProfiles('p.yaml', yaml)).toThrow(
    /line 5: agent\.claude_code\.modle: there is no such key; line 6: agent\.nme: there is no such key$/,
  );
  const all = JSON.stringify([json, { agent_id: 'b', name: 'B', role: 'tester', nme: 'B' }], null, 2);
  const line = all.split('\n').findIndex((text) => text.includes('nme')) + 1;
  expect(() => importProfiles('all.json', all)).toThrow(
    `all.json, profile 2 is not a valid definition: line ${line}: nme: there is no such key`,
  );
  const old = '{\n"agent_id": "a",\n"name": "A",\n"claude_configuration": {\n"model": "claude-3-opus-20240229"}}';
  expect(() => importProfiles('p.json', old)).toThrow(/line 5: claude_configuration\.model: .* is retired/);
});

test('every built-in definition is read the same from what is written of it', async () => {
  for (const agent of (await openCatalog()).agents.values()) {
    expect(readAgent(agent.file, writeAgent(agent))).toEqual(agent);
  }
});
