/**
 * The conversation of an agent with its model, kept within the room that there is.
 *
 * Its first two messages, the rules and the task, stay whatever happens, so that no agent forgets what it is for. When
 * it grows too long it is cut to two thirds, oldest first: results of tools, then what was given to tools, then whole
 * steps. It is cut seldom and much, since whatever stands before a cut must be read anew by the model.
 * A call and its result go together, always: a model server refuses one without the other.
 */
import { type ChatMessage, tokensOf } from '@nexus/shared/model';
import { clip } from './clip.ts';

export type Conversation = {
  messages(): readonly ChatMessage[];
  add(...messages: ChatMessage[]): void;
  /** Cuts it if it is longer than `tokensMax`; says how many messages were shortened or left out. */
  trim(tokensMax: number): number;
  tokens(): number;
};

const goesOn =
  'You go on with what you began. The run before this one was ended in the middle: look at the files before you take ' +
  'anything for done. This is your task, as it stands now:';

const beginning = 2;
/** The last messages are what the model is at work on. */
const fresh = 6;
const shortBytes = 400;

/**
 * A new conversation, or one that goes on after `before`: then the task comes once more, as it stands now. `keep` is
 * told each message as it is said, before anything is cut.
 */
export const openConversation = (
  rules: string,
  task: string,
  before: readonly ChatMessage[] = [],
  keep: (messages: readonly ChatMessage[]) => void = () => undefined,
): Conversation => {
  const begins: ChatMessage[] =
    before.length > 0
      ? [{ role: 'user', content: `${goesOn}\n\n${task}` }]
      : [
          { role: 'system', content: rules },
          { role: 'user', content: task },
        ];
  let messages = [...before, ...begins];
  keep(begins);
  const tokens = () => messages.reduce((sum, message) => sum + sizeOf(message), 0);
  return {
    messages: () => messages,
    add: (...more) => {
      keep(more);
      messages = [...messages, ...more];
    },
    tokens,
    trim: (tokensMax) => {
      if (tokens() <= tokensMax) return 0;
      const goal = Math.floor((tokensMax * 2) / 3);
      let cut = 0;
      const shorten = (from: number, to: number, how: (message: ChatMessage) => ChatMessage): void => {
        for (let at = from; at < to && tokens() > goal; at++) {
          const message = messages[at] as ChatMessage;
          const shorter = how(message);
          if (shorter === message) continue;
          messages = messages.with(at, shorter);
          cut += 1;
        }
      };
      const old = Math.max(beginning, messages.length - fresh);
      shorten(beginning, old, withoutResult);
      shorten(beginning, old, withoutInputs);
      while (tokens() > goal) {
        const fewer = withoutOldestStep(messages);
        if (fewer === messages) break;
        cut += messages.length - fewer.length;
        messages = fewer;
      }
      shorten(beginning, messages.length, shortResult);
      return cut;
    },
  };
};

const sizeOf = (message: ChatMessage): number =>
  4 + tokensOf(message.content) + (message.role === 'assistant' ? tokensOf(JSON.stringify(message.calls)) : 0);

const withoutResult = (message: ChatMessage): ChatMessage =>
  message.role === 'tool' && message.content.length > shortBytes
    ? { ...message, content: `(${message.content.length} characters, left out to save room; ask again if you need it)` }
    : message;

const withoutInputs = (message: ChatMessage): ChatMessage =>
  message.role === 'assistant' && message.calls.some(({ input }) => input.length > shortBytes)
    ? {
        ...message,
        calls: message.calls.map((call) =>
          call.input.length > shortBytes
            ? { ...call, input: JSON.stringify({ left_out: `${call.input.length} characters, to save room` }) }
            : call,
        ),
      }
    : message;

const shortResult = (message: ChatMessage): ChatMessage =>
  message.role === 'tool' && message.content.length > 4 * shortBytes
    ? { ...message, content: clip(message.content, 4 * shortBytes) }
    : message;

const note: ChatMessage = {
  role: 'user',
  content: 'Earlier steps of yours were left out here to save room. What they changed stands in the files: look there.',
};

/** Without the oldest message after the beginning, and what belongs to it; the same if only the fresh ones are left. */
const withoutOldestStep = (messages: ChatMessage[]): ChatMessage[] => {
  const from = messages[beginning]?.content === note.content ? beginning + 1 : beginning;
  let to = from + 1;
  while (messages[to]?.role === 'tool') to += 1;
  if (messages.length - to < 2) return messages;
  return [...messages.slice(0, beginning), note, ...messages.slice(to)];
};
