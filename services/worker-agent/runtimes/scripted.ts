/**
 * The runtime `scripted`: plays what the task's scenario says, in a real child process under the leash.
 *
 * Only where rehearsals are switched on and a scenario was given: nothing is ever rehearsed by accident.
 * Everything but the agent's mind is real: it writes real files, runs real commands, is killed by real signals.
 */
import { appendFile, mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { isFailure } from '@nexus/shared/errors';
import { parseScenario, stepsFor } from '@nexus/shared/messages/scenario';
import { failed, runProgram } from '../run-program.ts';
import { defineRuntime, type RunRequest, type RunResult } from '../runtimes.ts';

const player = join(import.meta.dirname, '..', 'player.ts');

export const runtime = defineRuntime({
  name: 'scripted',
  capabilities: { resume: false, cost: false, nudge: true },
  usable: async (context) => {
    if (!context.rehearsal) {
      return {
        usable: false,
        looked: 'rehearsals are switched off here',
        mend: 'start the fleet with NEXUS_REHEARSAL=on',
      };
    }
    return context.task !== null && !context.task.scenario
      ? { usable: false, looked: 'the task brings no scenario', mend: 'pass a scenario with the task' }
      : { usable: true, looked: 'rehearsals are switched on', mend: '' };
  },
  run: async (request) => {
    try {
      return await play(request);
    } catch (thrown) {
      // Under its own code, by which the board knows that no other attempt can mend it.
      if (isFailure(thrown, 'SCENARIO_INVALID')) return failed('SCENARIO_INVALID', thrown.message);
      throw thrown;
    }
  },
  resume: (_session, request) => runtime.run(request),
  nudge: async (folder, text) => {
    await mkdir(join(folder, '.nexus'), { recursive: true });
    await appendFile(join(folder, '.nexus', 'told.md'), `${text}\n`);
  },
});

const play = async (request: RunRequest): Promise<RunResult> => {
  const scenario = parseScenario(request.context.task?.scenario ?? '');
  const { subtaskId, role, attempt } = request.ids;
  const steps = stepsFor(scenario, { subtaskId, role, agentId: request.agent.agent_id }, attempt);
  if (steps === null) {
    const wanted = `subtask ${subtaskId}, role ${role} or agent ${request.agent.agent_id}`;
    return failed('AGENT_FAILED', `The scenario "${scenario.name}" has nothing for ${wanted}.`);
  }
  const input = JSON.stringify({ prompt: request.prompt, speed: scenario.speed, steps });
  return runProgram(request, [process.execPath, '--disable-warning=ExperimentalWarning', player], input);
};
