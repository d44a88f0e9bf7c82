import type { Behaviour, Conformance } from './conformance.ts';

/** Each behaviour as a shell command: what the conformance suite lets the runtime `command` run. */
export const shell: Record<Behaviour, string> = {
  works: "echo hello from the agent; printf 'Grüße, 世界' > made.txt",
  keeps_prompt: 'cat > prompt.txt',
  keeps_environment: 'env > env.txt',
  fails: 'echo going wrong; exit 3',
  crashes: 'kill -KILL $$',
  hangs: 'echo hanging; sleep 300',
  hangs_stubbornly: "trap '' TERM; echo hanging; while true; do sleep 1; done",
  floods: 'yes this never ends',
  leaves_background: 'setsid sleep 300 > /dev/null 2>&1 & echo $! > pid.txt',
  speaks_slowly: 'echo one; sleep 0.3; echo two',
};

export const conformance: Conformance = {
  behave: (behaviour) => ({ agentCommand: shell[behaviour], task: null }),
};
