#!lua flags=allow-oom
-- Purpose: makes the consumer group of an inbox where there is none; also at maxmemory, for a service has to start.
-- KEYS: 1 inbox, 2 groups.
-- ARGV: group.
-- Returns: 'made', 'stands', or the type of the key where it is no stream.
-- Atomic: the look at the key with the making, and since when there is this stream: restore tells by it what went
--   with the one before.
local found = redis.call('TYPE', KEYS[1]).ok
if found ~= 'none' and found ~= 'stream' then return found end
local made = redis.pcall('XGROUP', 'CREATE', KEYS[1], ARGV[1], '0', 'MKSTREAM')
if made.err then
  if string.find(made.err, 'BUSYGROUP', 1, true) then return 'stands' end
  return redis.error_reply(made.err)
end
-- Without a group nothing is ever settled: where entries were deleted, it is the stream of before that lost its group.
local info, about = redis.call('XINFO', 'STREAM', KEYS[1]), {}
for n = 1, #info, 2 do about[info[n]] = info[n + 1] end
if about['max-deleted-entry-id'] == '0-0' then
  local time = redis.call('TIME')
  local first = about['first-entry'] and about['first-entry'][1]
  local since = first and string.match(first, '^%d+') or time[1] * 1000 + math.floor(time[2] / 1000)
  redis.call('HSET', KEYS[2], KEYS[1], since)
end
return 'made'
