import { describe, expect, test } from 'vitest';
import { memoryDraft, memoryId, memoryIdOf, memoryScope, memoryTag, projectScope } from './shape.ts';

describe('the scope of a project', () => {
  test('is the same for every way to write one address', () => {
    const scope = projectScope('https://example.com/team/shop.git');
    expect(scope).toMatch(/^project:shop-[0-9a-f]{8}$/);
    for (const address of [
      'https://example.com/team/shop',
      'https://example.com/team/shop/',
      'https://ada:secret@example.com/team/shop.git',
    ]) {
      expect(projectScope(address)).toBe(scope);
    }
    expect(projectScope('file:///repos/shop/')).toBe(projectScope('/repos/shop'));
  });

  test('is another for another address, and a valid scope whatever the address', () => {
    expect(projectScope('/repos/shop')).not.toBe(projectScope('/other/shop'));
    for (const address of ['/', '..', 'C:\\work\\Über Shop', '日本語', `/${'x'.repeat(500)}`]) {
      expect(memoryScope.parse(projectScope(address))).toMatch(/^project:/);
    }
  });
});

test('an id follows from its key and scope, and is valid', () => {
  expect(memoryIdOf('shared', 'one')).toBe(memoryIdOf('shared', 'one'));
  expect(memoryIdOf('shared', 'one')).not.toBe(memoryIdOf('agent:a', 'one'));
  expect(memoryId.parse(memoryIdOf('shared', 'one'))).toHaveLength(13);
});

test('what is not to be remembered is refused with what would be right', () => {
  expect(memoryScope.safeParse('everybody').error?.issues[0]?.message).toContain('agent:<id>');
  expect(memoryTag.safeParse('two words').success).toBe(false);
  expect(memoryTag.parse('CSV')).toBe('csv');
  const source = { kind: 'note', by: 'ada', at: '2026-01-02T03:04:05Z' } as const;
  expect(memoryDraft.safeParse({ scope: 'shared', content: ' \n', key: 'x', source }).success).toBe(false);
  expect(memoryDraft.safeParse({ scope: 'shared', content: 'x', key: 'x', source, importance: 2 }).success).toBe(false);
});
