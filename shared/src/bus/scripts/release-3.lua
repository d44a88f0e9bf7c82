#!lua flags=allow-oom
-- Purpose: moves what is due from the park to its inbox, once: a second ring of the same alarm finds nothing.
-- KEYS: 1 parked, 2 due, 3 journal. The inboxes are named in the parked values: one slot.
-- ARGV: how many at most, then ids; none: whatever is due by Redis TIME.
-- Returns: the number of messages moved.
-- Atomic: the look into the park with the move.
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local ids = {}
if #ARGV > 1 then
  for n = 2, #ARGV do
    local due = redis.call('ZSCORE', KEYS[2], ARGV[n])
    if due and tonumber(due) <= now then ids[#ids + 1] = ARGV[n] end
  end
else
  ids = redis.call('ZRANGEBYSCORE', KEYS[2], '-inf', now, 'LIMIT', 0, ARGV[1])
end
local moved = 0
for _, id in ipairs(ids) do
  local parked = redis.call('HGET', KEYS[1], id)
  if parked then
    local space = string.find(parked, ' ', 1, true)
    redis.call('XADD', string.sub(parked, 1, space - 1), '*', 'm', string.sub(parked, space + 1))
    moved = moved + 1
  end
  redis.call('HDEL', KEYS[1], id)
  redis.call('ZREM', KEYS[2], id)
end
return moved
