import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { loadConfig } from '@nexus/shared/config';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { catalogConfig, foldersOf, openCatalog } from './catalog.ts';

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'nexus-catalog-'));
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

const put = (path: string, text: string) => {
  mkdirSync(dirname(join(folder, path)), { recursive: true });
  writeFileSync(join(folder, path), text);
  return folder;
};
const agent = (front: string) => `---\n${front}\n---\nYou work.\n`;
const configured = (environment: Record<string, string>) => foldersOf(loadConfig(catalogConfig, environment));

describe('the built-in catalog', () => {
  test('holds every agent that people know by name', async () => {
    const { agents, notices } = await openCatalog();
    const wanted =
      'nexus_prime aria_coordinator code_developer alpha_test_creator beta_test_validator frontend backend database ' +
      'deploy planner builder reviewer analyst tester documenter scout security performance api_design data ' +
      'machine_learning mobile accessibility refactoring debugging business_analysis architect dependency_upgrade';
    expect([...agents.keys()].sort()).toEqual(wanted.split(' ').sort());
    expect(agents.size).toBeGreaterThanOrEqual(24);
    expect(notices).toEqual([]);
  });

  test('gives every agent a prompt with the same five sections and its own words', async () => {
    const { agents } = await openCatalog();
    const lines = (text: string) => text.split('\n').filter((line) => line !== '' && !line.startsWith('#'));
    for (const one of agents.values()) {
      const sections = [...one.persona.matchAll(/^## (.*)$/gm)].map(([, title]) => title);
      expect(sections, one.file).toEqual(['Duties', 'Method', 'Done when', 'Hand-over', 'Never']);
      for (const other of agents.values()) {
        if (other === one) continue;
        const theirs = new Set(lines(other.persona));
        const shared = lines(one.persona).filter((line) => theirs.has(line));
        expect(shared.length, `${one.agent_id} and ${other.agent_id}`).toBeLessThan(lines(one.persona).length / 2);
      }
    }
  });

  test('has the workflows of the house, each with agents for its roles', async () => {
    const { workflows, agentFor } = await openCatalog();
    const shape = (name: string) => workflows.get(name)?.subtasks.map((node) => agentFor(node.role).agent_id);
    expect(shape('simple')).toEqual(['planner', 'builder']);
    expect(shape('feature')).toEqual(['analyst', 'planner', 'builder', 'tester', 'reviewer']);
    expect(shape('bug-fix')).toEqual(['analyst', 'planner', 'builder', 'tester', 'reviewer']);
    expect(shape('research')).toEqual(['analyst']);
    for (const workflow of workflows.values()) {
      for (const node of workflow.subtasks) {
        expect(node.grows, `${workflow.name}/${node.id}`).toBe(node.role === 'planner');
        expect(node.stands_for_plan, `${workflow.name}/${node.id}`).toBe(node.role === 'builder');
      }
    }
  });
});

describe('finding an agent', () => {
  test('looks for the id first, then for the role, in any case', async () => {
    const { agentFor } = await openCatalog();
    expect(agentFor('aria_coordinator').name).toBe('Aria');
    expect(agentFor('coordinator').name).toBe('Aria');
    expect(agentFor(' Backend ').agent_id).toBe('backend');
  });

  test('prefers the agent whose id is the role, even to one of the person’s own', async () => {
    put('mason.md', agent('name: Mason\ndescription: Builds.\nrole: builder'));
    const { agentFor } = await openCatalog(configured({ NEXUS_AGENTS_FOLDER: folder }));
    expect(agentFor('builder').name).toBe('Builder');
    expect(agentFor('mason').role).toBe('builder');
  });

  test('that nobody is says who there is', async () => {
    const { agentFor, workflow } = await openCatalog();
    expect(() => agentFor('wizard')).toThrow(/No agent has the role or id "wizard"\. There are: .*tester/);
    expect(() => workflow('magic')).toThrow(/There is no workflow "magic"\. There are: bug-fix, docs, feature/);
  });
});

describe('a person’s own folder', () => {
  test('adds agents and replaces built-in ones, which is said once', async () => {
    put('team/code-reviewer.md', agent('name: code-reviewer\ndescription: Reviews.'));
    put('mine.md', agent('name: My Builder\nagent_id: builder\nrole: builder\ndescription: Builds.'));
    put('README.md', '# How we work');
    put('notes.md', 'Things to remember.');
    put('.hidden/secret.md', agent('name: hidden\ndescription: h'));
    const { agents, notices } = await openCatalog(configured({ NEXUS_AGENTS_FOLDER: folder }));
    expect(agents.get('builder')?.name).toBe('My Builder');
    expect(agents.has('code-reviewer')).toBe(true);
    expect(agents.has('hidden')).toBe(false);
    expect(agents.size).toBe((await openCatalog()).agents.size + 1);
    expect(notices).toEqual([
      expect.stringMatching(/^The agent "builder" of .*mine\.md replaces that of .*shared\/agents\/builder\.md\.$/),
      expect.stringMatching(/notes\.md has no front matter, so it is no agent\.$/),
    ]);
  });

  test('DEFINITION_TWICE: may not define one id twice', async () => {
    put('a.md', agent('name: same\ndescription: a'));
    put('b.md', agent('name: same\ndescription: b'));
    await expect(openCatalog({ agentsFolders: [folder] })).rejects.toMatchObject({
      ...{ code: 'DEFINITION_TWICE', message: expect.stringMatching(/b\.md .*"same" is defined in .*a\.md too/) },
    });
  });

  test('may not call two agents by one name', async () => {
    put('a.md', agent('name: Max\nagent_id: one\ndescription: a'));
    put('b.md', agent('name: max\nagent_id: two\ndescription: b'));
    await expect(openCatalog({ agentsFolders: [folder] })).rejects.toThrow(
      /b\.md .*the agent name "max" is used in .*a\.md/,
    );
  });

  test('that does not exist is a problem of the configuration', () => {
    const environment = { NEXUS_AGENTS_FOLDER: join(folder, 'none') };
    expect(() => loadConfig(catalogConfig, environment)).toThrow(
      /NEXUS_AGENTS_FOLDER is ".*": there is no such folder/,
    );
    expect(configured({}).agentsFolders).toHaveLength(1);
  });

  test('that vanishes before it is read is refused by its name', async () => {
    const gone = join(folder, 'gone');
    await expect(openCatalog({ agentsFolders: [gone] })).rejects.toMatchObject({ code: 'DEFINITION_INVALID' });
  });

  test('of workflows replaces built-in ones by name', async () => {
    put(
      'simple.yaml',
      'name: simple\ndescription: Mine.\nsubtasks:\n  - {id: go, title: Go, role: builder, goal: Go.}\n',
    );
    const { workflow, notices } = await openCatalog(configured({ NEXUS_WORKFLOWS_FOLDER: folder }));
    expect(workflow('simple').description).toBe('Mine.');
    expect(notices).toEqual([expect.stringMatching(/^The workflow "simple" of .*replaces that of /)]);
  });
});
