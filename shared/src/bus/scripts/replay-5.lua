#!lua flags=allow-oom
-- Purpose: moves a dead letter back to its inbox, or drops it, and keeps a record of that for a while.
-- KEYS: 1 dead letters, 2 their order, 3 inbox, 4 journal, 5 the record.
-- ARGV: id, the letter as it was read, json of the message or '' to drop, text for the journal, journal length,
--   seconds to keep the record, (field, value)* of the record
-- Returns: the entry that the message became, or 'dropped'; 'gone' or 'changed' where nothing was done.
-- Atomic: the comparison with what the decision was made on, the removal, the message and the record. At maxmemory
--   a letter must still go: nothing is added here but what its removal frees.
local stands = redis.call('HGET', KEYS[1], ARGV[1])
if not stands then return 'gone' end
if stands ~= ARGV[2] then return 'changed' end
local answer = 'dropped'
-- Into the inbox first: should that be no stream, the letter stays.
if ARGV[3] ~= '' then answer = redis.call('XADD', KEYS[3], '*', 'm', ARGV[3]) end
redis.call('HDEL', KEYS[1], ARGV[1])
redis.call('ZREM', KEYS[2], ARGV[1])
redis.call('UNLINK', KEYS[5])
if ARGV[3] ~= '' then
  redis.call('XADD', KEYS[4], 'MAXLEN', '~', ARGV[5], '*', 'p', ARGV[4])
  redis.call('HSET', KEYS[5], 'entry', answer)
end
for at = 7, #ARGV, 2 do redis.call('HSET', KEYS[5], ARGV[at], ARGV[at + 1]) end
redis.call('EXPIRE', KEYS[5], ARGV[6])
return answer
