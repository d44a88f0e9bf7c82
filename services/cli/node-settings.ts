/** How Node runs a service. The Dockerfile says the same for containers. */

/**
 * A service makes few objects at a time: with a small space for new ones it keeps about 12 MB less, for a tenth more
 * CPU time under a flood of messages that no fleet sees.
 */
export const nodeFlags = ['--max-semi-space-size=4'];

/**
 * Threads of files and of the compiler would each get a heap of their own from glibc, up to eight a core, and none
 * gives back what it once held (mallopt(3)): a service grew by 10 MB in its first quarter of an hour.
 */
export const nodeEnvironment = {
  MALLOC_ARENA_MAX: '2',
  MALLOC_MMAP_THRESHOLD_: '131072',
  MALLOC_TRIM_THRESHOLD_: '131072',
};
