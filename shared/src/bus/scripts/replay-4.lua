#!lua
-- Purpose: moves a dead letter back to its inbox, or drops it; doing it twice finds nothing.
-- KEYS: 1 dead letters, 2 their order, 3 inbox, 4 journal.
-- ARGV: id, json of the message or '' to drop, text for the journal, journal length.
-- Returns: 1 if the letter was there, else 0.
-- Atomic: the removal with the message.
if redis.call('HDEL', KEYS[1], ARGV[1]) == 0 then return 0 end
redis.call('ZREM', KEYS[2], ARGV[1])
if ARGV[2] ~= '' then
  redis.call('XADD', KEYS[3], '*', 'm', ARGV[2])
  redis.call('XADD', KEYS[4], 'MAXLEN', '~', ARGV[4], '*', 'p', ARGV[3])
end
return 1
