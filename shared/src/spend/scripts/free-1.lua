#!lua flags=allow-oom
-- Purpose: gives reservations back of which nothing was used, or whose owners are gone.
-- KEYS: 1 reservations. The budgets are named in them: one slot.
-- ARGV: the reservations.
-- Returns: how many there were.
-- Atomic: each reservation goes together with what it held.
local count = 0
for n = 1, #ARGV do
  local held = redis.call('HGET', KEYS[1], ARGV[n])
  if held then
    held = cjson.decode(held)
    for _, key in ipairs(held.keys) do
      -- A budget that has expired holds nothing: taken from nothing it would be less, and stay for ever.
      if redis.call('EXISTS', key) == 1 then
        redis.call('HINCRBY', key, 'usd_held', string.format('%.0f', 0 - held.usd))
        redis.call('HINCRBY', key, 'tokens_held', string.format('%.0f', 0 - held.tokens))
      end
    end
    count = count + redis.call('HDEL', KEYS[1], ARGV[n])
  end
end
return count
