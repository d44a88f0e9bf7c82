/**
 * What a runtime's own `<name>.conformance.ts` exports: how its agent is made to behave in the ways the suite asks for.
 * `behave` returns the part of a task, and of the settings, that brings an agent to do so, and says null for what it
 * cannot do.
 */
import type { ErrorCode } from '@nexus/shared/errors';
import type { RuntimeContext } from '../runtimes.ts';

/** What the suite asks of an agent. Each ends with exit code 0 unless it says otherwise. */
export type Behaviour =
  /** Prints `hello from the agent`, and writes `made.txt` with the text `Grüße, 世界`. */
  | 'works'
  /** Copies its whole prompt into `prompt.txt`. */
  | 'keeps_prompt'
  /** Writes its environment into `env.txt`, a line each. */
  | 'keeps_environment'
  /** Ends with exit code 3. */
  | 'fails'
  /** Kills itself with SIGKILL. */
  | 'crashes'
  /** Prints `hanging`, and never ends. */
  | 'hangs'
  /** The same, and ignores SIGTERM. */
  | 'hangs_stubbornly'
  /** Prints without end. */
  | 'floods'
  /** Starts `sleep 300` in a session of its own, writes its pid into `pid.txt`, and ends. */
  | 'leaves_background'
  /** Prints one line, waits 300 ms, prints another. */
  | 'speaks_slowly';

export type Conformance = {
  behave: (behaviour: Behaviour) => Pick<RuntimeContext, 'agentCommand' | 'task' | 'settings'>;
  /** Where a program stands between the agent and us, it ends with its own exit code, not with the agent's 3. */
  exitCodeOfFailure?: number;
  /** An agent without a process of its own cannot be killed; this is the code of what comes nearest. */
  codeOfCrash?: ErrorCode;
  /** Variables that the runtime's own program adds for what it runs. */
  environment?: RegExp;
  /** Ends what was opened for the suite. */
  close?: () => Promise<void>;
};
