-- Purpose: books that memories came into a prompt: they are worth more again.
-- KEYS: 1 scopes.
-- ARGV: prefix of all memory keys, now in ms, half-life in ms, id*.
-- Returns: how many of them there still are.
-- Atomic: a memory that was forgotten meanwhile stays forgotten.
local call = redis.call
local prefix, now, halfLife, there = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3]), 0
for at = 4, #ARGV do
  local item = prefix .. 'item:' .. ARGV[at]
  local found = call('HMGET', item, 'scope', 'importance')
  if found[1] then
    there = there + 1
    call('HINCRBY', item, 'uses', 1)
    call('HSET', item, 'used', now)
    local worth = now + halfLife * math.log(math.max(tonumber(found[2]), 0.001)) / math.log(2)
    call('ZADD', prefix .. 'worth:' .. found[1], worth, ARGV[at])
  end
end
return there
