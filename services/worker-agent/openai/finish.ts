/** The tool with which an agent ends its work and reports on it. */
import { z } from 'zod';
import { defineTool } from './tool.ts';

const lines = (says: string) => z.array(z.string()).max(50).default([]).describe(says);

export const finishInput = z.object({
  outcome: z.enum(['done', 'failed']).default('done').describe('failed: it cannot be done, and `summary` says why.'),
  summary: z.string().min(1).describe('What you did and what came of it, in a few sentences.'),
  confidence_score: z.number().min(0).max(1).optional().describe('How sure you are that the acceptance is met.'),
  deliverables: lines('What exists now.'),
  recommendations: lines('What you recommend.'),
  next_steps: lines('What comes next.'),
  files: lines('The files that matter.'),
  agent_feedback: z
    .object({
      clarity_rating: z.number().min(1).max(5).optional(),
      complexity_rating: z.number().min(1).max(5).optional(),
      additional_questions: z.array(z.string()).max(20).default([]),
    })
    .optional()
    .describe('How clear and how hard the task was, and what you would have asked.'),
});

export type Finish = z.infer<typeof finishInput>;

/** The loop ends when it was called; what it answers is read by nobody. */
export const finishTool = defineTool({
  name: 'finish',
  changes: true,
  description:
    'Ends your work. Call it once, when everything is done or you are sure that it cannot be, with your report.',
  input: finishInput,
  run: async () => 'finished',
});
