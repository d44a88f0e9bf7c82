#!lua flags=allow-oom
-- Purpose: makes the consumer group of an inbox where there is none; also at maxmemory, for a service has to start.
-- KEYS: 1 inbox.
-- ARGV: group.
-- Returns: 'made', 'stands', or the type of the key where it is no stream.
-- Atomic: the look at the key with the making.
local found = redis.call('TYPE', KEYS[1]).ok
if found ~= 'none' and found ~= 'stream' then return found end
local made = redis.pcall('XGROUP', 'CREATE', KEYS[1], ARGV[1], '0', 'MKSTREAM')
if made.err then
  if string.find(made.err, 'BUSYGROUP', 1, true) then return 'stands' end
  return redis.error_reply(made.err)
end
return 'made'
