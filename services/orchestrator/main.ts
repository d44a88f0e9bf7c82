/**
 * The orchestrator: takes a request, has its repository prepared, plans it, hands the plan on, and says in
 * the end what became of it. It is the only writer of the document `task:<id>`.
 *
 * Read on: `decide.ts` (what becomes of a task, pure), `strategy.ts` (how it is planned), `submission.ts`.
 */
import { foldersOf, openCatalog } from '@nexus/shared/catalog';
import { defineService, type ServiceContext, serve } from '@nexus/shared/service';
import { config } from './config.ts';
import { onBoardCompleted } from './on-board-completed.ts';
import { onCancellationRequested } from './on-cancellation-requested.ts';
import { onDeadlineReached } from './on-deadline-reached.ts';
import { onDeletionRequested } from './on-deletion-requested.ts';
import { onReleaseFinished } from './on-release-finished.ts';
import { onRepositoryPrepared } from './on-repository-prepared.ts';
import { onTaskSubmitted } from './on-task-submitted.ts';
import type { Tools } from './settle-task.ts';

const open = async (context: ServiceContext<typeof config>): Promise<Tools> => {
  const catalog = await openCatalog(foldersOf(context.config));
  for (const notice of catalog.notices) context.log.info(notice);
  return { catalog };
};

export const service = defineService({
  name: 'orchestrator',
  config,
  mode: 'stream',
  slots: (settings) => settings.slots,
  open,
  handlers: {
    'task.submitted': onTaskSubmitted,
    'repository.prepared': onRepositoryPrepared,
    'board.completed': onBoardCompleted,
    'release.finished': onReleaseFinished,
    'cancellation.requested': onCancellationRequested,
    'deletion.requested': onDeletionRequested,
    'deadline.reached': onDeadlineReached,
  },
});

if (import.meta.main) await serve(service);
