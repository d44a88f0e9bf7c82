import { loadConfig } from '@nexus/shared/config';
import { type ChatRequest, openOpenaiApi, type Reply } from '../../../test/tools/openai-api/openai-api.ts';
import { config } from '../config.ts';
import type { Behaviour, Conformance } from './conformance.ts';

/** What the model asks for in each behaviour, one answer after the other. */
const answers: Record<Behaviour, (prompt: string) => Reply[]> = {
  works: () => [
    { text: 'hello from the agent', calls: [{ tool: 'write', input: { path: 'made.txt', text: 'Grüße, 世界' } }] },
  ],
  keeps_prompt: (prompt) => [{ calls: [{ tool: 'write', input: { path: 'prompt.txt', text: prompt } }] }],
  keeps_environment: () => [run('env > env.txt')],
  fails: () => [{ calls: [{ tool: 'finish', input: { outcome: 'failed', summary: 'It cannot be done.' } }] }],
  crashes: () => [{ text: 'half an answer', everyMs: 5, dropAfter: 2 }],
  hangs: () => [{ text: 'hanging', hangs: true }],
  hangs_stubbornly: () => [run("trap '' TERM; echo hanging; while true; do sleep 1; done")],
  floods: () => [{ text: 'this never ends\n'.repeat(100), endless: true }],
  leaves_background: () => [run('setsid sleep 300 > /dev/null 2>&1 & echo $! > pid.txt')],
  speaks_slowly: () => [{ text: 'one two', everyMs: 300 }],
};

const run = (command: string): Reply => ({ calls: [{ tool: 'run', input: { command } }] });
const finish: Reply = { calls: [{ tool: 'finish', input: { summary: 'Done.' } }] };

const answer = ({ model, messages }: ChatRequest): Reply => {
  const prompt = messages.find(({ role }) => role === 'user')?.content ?? '';
  const turn = messages.filter(({ role }) => role === 'assistant').length;
  return answers[model as Behaviour](prompt)[turn] ?? finish;
};

// Never closed: the suite goes over each runtime more than once. It ends with the process.
const api = await openOpenaiApi(answer, { models: Object.keys(answers) });

export const conformance: Conformance = {
  behave: (behaviour) => ({
    agentCommand: null,
    task: null,
    settings: loadConfig(config, {
      OPENAI_API_KEY: api.key,
      NEXUS_MODEL_URL: api.url,
      NEXUS_OPENAI_MODEL: behaviour,
      NEXUS_MODEL_TRIES: '1',
    }),
  }),
  // There is no program between the model and us: what it says of itself counts.
  exitCodeOfFailure: 1,
  codeOfCrash: 'MODEL_UNREACHABLE',
};
