/** The settings of memories: how many there are, how long they last, and how many come into a prompt. */
import { type ConfigOf, defineConfig, is, setting } from '@nexus/shared/config';
import { z } from 'zod';

const share = z.coerce.number('expected a number from 0 to 1').min(0).max(1);

export const memoryConfig = defineConfig({
  memoriesMax: setting(
    'NEXUS_MEMORIES_MAX',
    is.count(1, 1_000_000),
    'How many memories an agent, a project, or all together may hold; beyond it, what is worth least leaves first.',
    { default: '2000' },
  ),
  memoryHalfLife: setting('NEXUS_MEMORY_HALF_LIFE', is.duration, 'After so long without use a memory is worth half.', {
    default: '30d',
  }),
  memoryForgetBelow: setting(
    'NEXUS_MEMORY_FORGET_BELOW',
    share,
    'A memory whose worth (its importance, halved by age) has sunk below this is forgotten; 0: never.',
    { default: '0.02' },
  ),
  memoryWordsMax: setting(
    'NEXUS_MEMORY_WORDS_MAX',
    is.count(8, 500),
    'By how many of its words a memory can be found; the weightiest are taken.',
    { default: '64' },
  ),
  memoryPostingsMax: setting(
    'NEXUS_MEMORY_POSTINGS_MAX',
    is.count(64, 100_000),
    'In one scope a word leads to so many memories at most, those in which it weighs most.',
    { default: '4096' },
  ),
  memoryLikeness: setting(
    'NEXUS_MEMORY_LIKENESS',
    share,
    'How alike in meaning a memory must be to be found so, 0.5 (nothing in common) to 1; it depends on the model.',
    { default: '0.75' },
  ),
  memoryReadMax: setting(
    'NEXUS_MEMORY_READ_MAX',
    is.count(100, 100_000),
    'How many entries of the index one question may read; rare words come first, and no scope is left out.',
    { default: '400' },
  ),
  memoryTermsMax: setting(
    'NEXUS_MEMORY_TERMS_MAX',
    is.count(4, 48),
    'By how many of its words a question looks in a scope, the rarest first; more say less than the rare ones.',
    { default: '24' },
  ),
});

/** What decides which memories come into a prompt. */
export const recallConfig = defineConfig({
  memoryRecalled: setting('NEXUS_MEMORY_RECALLED', is.count(0, 50), 'How many memories come into a prompt at most.', {
    default: '5',
  }),
  memoryPromptChars: setting(
    'NEXUS_MEMORY_PROMPT_CHARS',
    is.count(0, 100_000),
    'How many characters the memories of a prompt may have together.',
    { default: '6000' },
  ),
  memoryFit: setting(
    'NEXUS_MEMORY_FIT',
    share,
    'How much of what an attempt is about a memory must share to come into its prompt, 0 to 1.',
    { default: '0.15' },
  ),
});

export type MemorySettings = ConfigOf<typeof memoryConfig>;
