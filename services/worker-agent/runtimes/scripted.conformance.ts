import type { Behaviour, Conformance } from './conformance.ts';

/** Each behaviour as the steps of a scenario. */
const steps: Record<Behaviour, unknown[]> = {
  works: [{ say: 'hello from the agent' }, { write: { 'made.txt': 'Grüße, 世界' } }],
  keeps_prompt: [{ run: 'cat > prompt.txt' }],
  keeps_environment: [{ run: 'env > env.txt' }],
  fails: [{ exit: 3 }],
  crashes: [{ crash: 'SIGKILL' }],
  hangs: [{ say: 'hanging' }, { hang: true }],
  hangs_stubbornly: [{ run: "trap '' TERM; echo hanging; while true; do sleep 1; done" }],
  floods: [{ run: 'yes this never ends' }],
  leaves_background: [
    { spawn_background: 'echo $$ > pid.txt; exec sleep 300' },
    { run: 'until [ -s pid.txt ]; do sleep 0.02; done' },
  ],
  speaks_slowly: [{ say: 'one' }, { wait: 300 }, { say: 'two' }],
};

export const conformance: Conformance = {
  behave: (behaviour) => ({
    agentCommand: null,
    task: { scenario: JSON.stringify({ name: behaviour, subtasks: { builder: [steps[behaviour]] } }) },
  }),
};
