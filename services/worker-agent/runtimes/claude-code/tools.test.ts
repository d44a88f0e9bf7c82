import { readAgent } from '@nexus/shared/catalog';
import { expect, test } from 'vitest';
import { toolFlags } from './tools.ts';

const flagsOf = (front: string) => {
  const agent = readAgent('a.md', `---\nname: a\ndescription: b\n${front}\n---\nYou work.`);
  return toolFlags(agent?.tools ?? [], agent?.disallowed_tools);
};

test('names in common use become flags of the CLI, and whoever may use git may not push', () => {
  expect(flagsOf('tools: [file_analysis, git_operations]')).toEqual([
    '--tools=Read,Grep,Glob,Bash',
    '--allowedTools=Read,Grep,Glob,Bash(git *)',
    '--permission-mode=dontAsk',
    '--disallowedTools=Bash(git push*)',
  ]);
});

test('what a definition forbids is forbidden, whatever it allows', () => {
  expect(flagsOf('disallowedTools: WebSearch, web_search').at(-1)).toBe(
    '--disallowedTools=Bash(git push*),WebSearch,WebFetch',
  );
});
