#!lua flags=allow-oom
-- Purpose: puts a message back whose stream was deleted while a consumer held it.
-- KEYS: 1 inbox, 2 groups.
-- ARGV: id, message.
-- Returns: 'restored'; 'stands' where the entry is there still, and somebody else's; 'over' where it was settled:
--   its stream is older than it is.
-- Atomic: the looks with the writing. Whoever held it twice may put it back twice: handlers are idempotent.
if #redis.call('XRANGE', KEYS[1], ARGV[1], ARGV[1]) > 0 then return 'stands' end
local since = tonumber(redis.call('HGET', KEYS[2], KEYS[1]) or '0')
if since <= tonumber(string.match(ARGV[1], '^%d+')) then return 'over' end
redis.call('XADD', KEYS[1], '*', 'm', ARGV[2])
return 'restored'
