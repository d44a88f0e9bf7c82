/**
 * Processes: the one place where programs are started, watched and ended.
 *
 * Promised: a program runs in a session of its own with an allow-listed environment, its input closed or given,
 * within a time limit and an output limit; it never asks anybody anything. When it ends, is timed out, aborted or
 * says too much, its whole tree ends: its session, and every process whose environment carries its mark, so also what
 * made itself a session of its own. Nothing else is ever signalled, and never ourselves. A failed command is a
 * result; only one that cannot be started at all throws (`COMMAND_MISSING`).
 *
 * Not promised: that a program which empties its environment, leaves its session, loses its parent and leaves its
 * folder, all of it at once, is found. (One that still works in its folder is: `endMarked` with `folder`.)
 *
 * With `leashed`, a small process between us and the command ends the tree also when we are killed (rule 21).
 *
 * With `limits` and `sandbox` it uses no more than it may, and sees and writes only what it should.
 *
 * Read: `run.ts` (one command from start to result), `environment.ts` (what it may know), `marked.mjs` (finding and
 * ending a tree), `leash.mjs` (what outlives us), `find-program.ts` (is it there at all), `meter.ts` (what
 * trees use), `sandbox.ts` (namespaces of its own), `fence.ts` (how both are put around a command).
 */
export { copyOut, inside, isInContainer } from './container.ts';
export { allowedEnv } from './environment.ts';
export { findProgram } from './find-program.ts';
export { demandFreePort, freePort } from './free-port.ts';
// biome-ignore lint/correctness/useImportExtensions: plain JavaScript with its types beside it
export { endMarked, listMarked, type MarkedProcess, sweepMarked } from './marked.mjs';
export type { LimitName, Limits } from './meter.ts';
export { probeSandbox } from './probe-sandbox.ts';
export { type Command, type OutputStream, type ProcessResult, type RunOptions, run } from './run.ts';
export type { Mount, Sandbox, SandboxLook } from './sandbox.ts';
export { shellWord } from './shell-word.ts';
