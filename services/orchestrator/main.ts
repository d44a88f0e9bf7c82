/**
 * The orchestrator: takes a request, has its repository prepared, plans it, hands the plan on, and says in
 * the end what became of it. It is the only writer of the document `task:<id>`.
 *
 * Read on: `decide.ts` (what becomes of a task, pure), `waiting.ts` (when it waits for a person), `strategy.ts`
 * (how it is planned), `submission.ts`.
 */
import { foldersOf, openLiveCatalog } from '@nexus/shared/catalog';
import { openModel } from '@nexus/shared/model';
import { defineService, type ServiceContext, serve } from '@nexus/shared/service';
import { openSpending } from '@nexus/shared/spend';
import { config } from './config.ts';
import { onBoardCompleted } from './on-board-completed.ts';
import { onCancellationRequested } from './on-cancellation-requested.ts';
import { onDeadlineReached } from './on-deadline-reached.ts';
import { onDeletionRequested } from './on-deletion-requested.ts';
import { onEscalationRaised } from './on-escalation-raised.ts';
import { onPatienceEnded } from './on-patience-ended.ts';
import { onPersonAnswered } from './on-person-answered.ts';
import { onPlanRequested } from './on-plan-requested.ts';
import { onQuestionAnswered } from './on-question-answered.ts';
import { onQuestionsAsked } from './on-questions-asked.ts';
import { onReleaseFinished } from './on-release-finished.ts';
import { onRepositoryPrepared } from './on-repository-prepared.ts';
import { onRetentionDue } from './on-retention-due.ts';
import { onTaskSubmitted } from './on-task-submitted.ts';
import type { Tools } from './settle-task.ts';

const open = async (context: ServiceContext<typeof config>): Promise<Tools> => {
  const { config: settings, bus, log, meters } = context;
  const catalog = await openLiveCatalog({ folders: foldersOf(settings), bus, log, everyMs: settings.catalogEvery });
  const { plansMax, personTimeout: personTimeoutMs, retention: retentionMs } = settings;
  const spending = openSpending({ bus, config: settings, log, meters });
  const { costOf: priceOf } = spending.prices;
  const model = openModel(settings, { priceOf });
  log.info(
    { model: model?.says ?? null },
    model === null ? 'Plans are made from templates' : 'Plans are made by a model',
  );
  const { retries, otherAgentsMax: otherAgents } = settings;
  const tries = { retries, otherAgents };
  const planning = { model, timeoutMs: settings.askTimeout, tries, costs: spending.book, spending };
  return { catalog, patience: { plansMax, personTimeoutMs }, planning, retentionMs, close: catalog.close };
};

export const service = defineService({
  name: 'orchestrator',
  config,
  mode: 'stream',
  slots: (settings) => settings.slots,
  schedules: () => [{ name: 'retention', everyMs: 3_600_000, type: 'retention.due', payload: {} }],
  open,
  handlers: {
    'task.submitted': onTaskSubmitted,
    'plan.requested': onPlanRequested,
    'repository.prepared': onRepositoryPrepared,
    'board.completed': onBoardCompleted,
    'release.finished': onReleaseFinished,
    'cancellation.requested': onCancellationRequested,
    'deletion.requested': onDeletionRequested,
    'deadline.reached': onDeadlineReached,
    'escalation.raised': onEscalationRaised,
    'patience.ended': onPatienceEnded,
    'person.answered': onPersonAnswered,
    'questions.asked': onQuestionsAsked,
    'question.answered': onQuestionAnswered,
    'retention.due': onRetentionDue,
  },
});

if (import.meta.main) await serve(service);
