/** Messages as the simulation carries them: payloads as they are, never text, and ids that follow from their cause. */
import assert from 'node:assert/strict';
import type { FollowUp } from '@nexus/shared/bus';
import { entryOf, type Kind } from '@nexus/shared/messages';
import type { Priority } from '@nexus/shared/messages/domain';
import type { Witness } from './fabric.ts';
import type { Body, Outgoing } from './fabric-port.ts';

export type Mail = {
  readonly id: string;
  readonly type: Kind;
  // biome-ignore lint/suspicious/noExplicitAny: whoever handles a kind knows its payload
  readonly payload: any;
  readonly task: string;
  readonly priority: Priority;
  /** How often it was tried before, and one. */
  readonly attempt: number;
  /** Some message that makes every process die that works on it. */
  readonly poison: boolean;
};

export const inboxOf = (mail: Mail): string => `${entryOf(mail.type).to}:${mail.priority}`;

/** The follow-up of a message: its id is that of the cause, the kind and the key, and nothing else (rule 13). */
export const followUpOf = (cause: Mail, next: FollowUp): Outgoing => {
  const payload = next.payload as { task_id: string };
  const id = `${cause.id}>${next.type}${next.key === '' ? '' : `:${next.key}`}`;
  const priority = next.priority ?? cause.priority;
  const mail: Mail = {
    id: named(id),
    type: next.type,
    payload,
    task: payload.task_id,
    priority,
    attempt: 1,
    poison: false,
  };
  return { inbox: inboxOf(mail), json: mail, id: mail.id, delayMs: next.delayMs ?? null };
};

/** Ids grow with the chain of causes, so each gets a short name, the same for the same cause. */
const names = new Map<string, string>();
const named = (id: string): string => {
  const at = id.lastIndexOf('>');
  let name = names.get(id);
  if (name === undefined) {
    name = `${names.size.toString(36)}.${id.slice(at + 1)}`;
    names.set(id, name);
  }
  return name;
};
/** Each schedule names its messages anew. */
export const forgetNames = (): void => names.clear();

/** What the simulation knows of messages, apart from what the fabric says: where each is, and which have ended. */
export class Whereabouts implements Witness {
  at = new Map<string, string>();
  ended = new Set<string>();

  entered(where: 'inbox' | 'park' | 'dead', body: Body, how: 'new' | 'moved'): void {
    const { id } = body as Mail;
    const before = this.at.get(id);
    assert(before === undefined, `the message ${id} is in two places: ${before} and ${where}`);
    assert(how === 'moved' || !this.ended.has(id), `the message ${id} was published again after it had ended`);
    this.at.set(id, where);
  }

  left(_where: 'inbox' | 'park' | 'dead', body: Body, how: 'ended' | 'moved'): void {
    const mail = body as Mail | undefined;
    assert(mail !== undefined, 'a message was ended that had ended before');
    this.at.delete(mail.id);
    if (how === 'ended') this.ended.add(mail.id);
  }

  copy(): Whereabouts {
    const copy = new Whereabouts();
    copy.at = new Map(this.at);
    copy.ended = new Set(this.ended);
    return copy;
  }
}
