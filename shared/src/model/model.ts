/**
 * Models: the one place where a language model is asked.
 *
 * Promised: a call is tried again, bounded, where that may help, no sooner than the server asks; what it may cost is
 * reserved before it is made, and what it cost is settled after, also when it broke off in the middle; a failure is
 * one of our errors, with what to do about it. The key is sent to the configured server and stands nowhere else.
 *
 * Not promised: that the answer is true, or good.
 *
 * Read: `model-config.ts` (which server), `chat.ts` (one call), `call.ts` (one call with all that belongs to it),
 * `model-failure.ts` (what its failures mean), `names.ts` (which models are gone), `usual-model.ts` (which one, where
 * nobody names it); then `ask.ts` (a question whose answer has a shape), `ask-server.ts` and `ask-claude.ts` (who
 * answers it), `open-model.ts` (which of them).
 */
export type { Answer, Model, Question } from './ask.ts';
export { CallFailed, type CallOptions, callModel, type Gate, type Reserved, tokensOf } from './call.ts';
export {
  type Chat,
  type ChatAnswer,
  type ChatMessage,
  type ChatRequest,
  openChat,
  type ToolCall,
  type ToolSpec,
  type Usage,
} from './chat.ts';
export { type EmbedConfig, embedConfig, openEmbed } from './embed.ts';
export { accountNamed, accountOf, type Endpoint, endpointOf, type ModelConfig, modelConfig } from './model-config.ts';
export type { ModelFailure } from './model-failure.ts';
export { nearestOf, replacementOf } from './names.ts';
export { type AskConfig, askConfig, openModel } from './open-model.ts';
export { resetIn } from './resets.ts';
export { listed, usualModel } from './usual-model.ts';
