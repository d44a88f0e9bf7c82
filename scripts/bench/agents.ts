/**
 * `npm run bench:agents`: what the fleet costs its agents, in figures, each against its bar, in one table.
 *
 *   npm run bench:agents                   every part, three rounds each: a quarter of an hour on a quiet machine
 *   npm run bench:agents -- added idle     single parts; the others are crowd, resume, subtask
 *   npm run bench:agents -- --rounds 1     quicker and noisier
 *   npm run bench:agents -- --small        sizes that only show that it works
 *   npm run bench:agents -- --json         one line of JSON on standard output at the end
 *
 *   added     what an attempt takes beyond a bare `claude -p` of the same prompt, in pairs
 *   idle      memory of sessions that wait for the model, and of those between two runs
 *   crowd     200 scripted agents at once: is every line in the journal, and how soon
 *   resume    kill -9 of the worker in the middle of a turn, until the conversation goes on elsewhere
 *   subtask   the fleet's own time for a subtask, from the request to the result
 *
 * The agents of added, idle and resume are the real CLI of Claude Code; the model is scripted, so nothing is paid. A
 * figure is the median of the rounds. Exit code 1 if one is short of its bar.
 */
import { readOptions } from '../options.ts';
import { added } from './agents-added.ts';
import { crowd } from './agents-crowd.ts';
import { idle } from './agents-idle.ts';
import type { AgentsPart } from './agents-part.ts';
import { resume } from './agents-resume.ts';
import { subtask } from './agents-subtask.ts';
import { endFleets } from './bench-fleet.ts';
import { runBench } from './bench-run.ts';
import { openServer } from './server.ts';

const parts: Record<string, AgentsPart> = { added, idle, crowd, resume, subtask };

const { values: options, positionals } = readOptions(import.meta.filename, {
  allowPositionals: true,
  options: {
    rounds: { type: 'string', default: '3' },
    small: { type: 'boolean', default: false },
    json: { type: 'boolean', default: false },
  },
});

const server = await openServer();
await runBench({
  name: 'bench:agents',
  parts: Object.fromEntries(
    Object.entries(parts).map(([name, part]) => [
      name,
      (tools) => part({ ...tools, server, rounds: Number(options.rounds), small: options.small }),
    ]),
  ),
  names: positionals,
  json: options.json,
  clear: async () => {
    await endFleets();
    await server.stop();
  },
});
