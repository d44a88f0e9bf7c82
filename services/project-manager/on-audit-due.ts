/** A schedule rang: nothing is found overdue that nobody looks for. */
import { done, type Handler } from '@nexus/shared/bus';
import type { Tools } from './transition.ts';

export const onAuditDue: Handler<'audit.due', Tools> = () => done();
