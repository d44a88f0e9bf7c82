#!lua
-- Purpose: reserves an amount in the four budgets that it counts in, in all of them or in none.
-- KEYS: 1 reservations, 2 budget of the day, 3 of the task, 4 of the subtask, 5 of the attempt.
-- ARGV: reservation, another one that it takes the place of or '', USD wanted and at least (in millionths; '' for
--   both: the price is unknown), tokens wanted and at least, milliseconds that a budget is kept after its last use,
--   then for each budget its limits: USD or '', tokens or ''.
-- Returns: {'ok', USD, tokens} with what was reserved: as wanted, or a quarter of what is left where that is less, so
--   that several can begin; or
--   {'spent', budget 1 to 4, 'usd' or 'tokens', limit, used, held} if too little is left even with nothing reserved,
--   {'held', …} if others have reserved it, {'unpriced', budget} if a limit in USD meets an unknown price.
-- Atomic: the comparison with every limit and the reservation.
local call = redis.call
local units = { 'usd', 'tokens' }
local wanted = { tonumber(ARGV[3]), tonumber(ARGV[5]) }
local least = { tonumber(ARGV[4]), tonumber(ARGV[6]) }

-- Asked again, because the answer was lost.
local mine = call('HGET', KEYS[1], ARGV[1])
if mine then
  local held = cjson.decode(mine)
  return { 'ok', string.format('%.0f', held.usd), string.format('%.0f', held.tokens) }
end

-- What the reservation before gives back, by budget.
local freed = {}
local before = ARGV[2] ~= '' and call('HGET', KEYS[1], ARGV[2])
if before then
  local held = cjson.decode(before)
  -- A budget that has expired holds nothing.
  for _, key in ipairs(held.keys) do
    if call('EXISTS', key) == 1 then freed[key] = held end
  end
end

local granted = { wanted[1] or 0, wanted[2] }
for n = 1, 4 do
  local key = KEYS[n + 1]
  for at, unit in ipairs(units) do
    local found = call('HMGET', key, unit .. '_said', unit .. '_used', unit .. '_held')
    local given = ARGV[8 + 2 * (n - 1) + at - 1]
    local limit = tonumber(found[1] or given)
    if not limit then call('HDEL', key, unit .. '_max') end
    if limit then
      -- Shown to people: the limit as it counts now.
      call('HSET', key, unit .. '_max', string.format('%.0f', limit))
      if not wanted[at] then return { 'unpriced', n } end
      local used = tonumber(found[2] or '0')
      local held = tonumber(found[3] or '0') - (freed[key] and freed[key][unit] or 0)
      if limit - used < least[at] then
        return { 'spent', n, unit, string.format('%.0f', limit), found[2] or '0', string.format('%.0f', held) }
      end
      if limit - used - held < least[at] then
        return { 'held', n, unit, string.format('%.0f', limit), found[2] or '0', string.format('%.0f', held) }
      end
      local left = limit - used - held
      if wanted[at] > least[at] then left = math.max(least[at], math.floor(left / 4)) end
      granted[at] = math.min(granted[at], left)
    end
  end
end

if before then
  for key, held in pairs(freed) do
    call('HINCRBY', key, 'usd_held', string.format('%.0f', 0 - held.usd))
    call('HINCRBY', key, 'tokens_held', string.format('%.0f', 0 - held.tokens))
  end
  call('HDEL', KEYS[1], ARGV[2])
end
for n = 2, 5 do
  call('HINCRBY', KEYS[n], 'usd_held', string.format('%.0f', granted[1]))
  call('HINCRBY', KEYS[n], 'tokens_held', string.format('%.0f', granted[2]))
  call('PEXPIRE', KEYS[n], ARGV[7])
end
local held = { usd = granted[1], tokens = granted[2], keys = { KEYS[2], KEYS[3], KEYS[4], KEYS[5] } }
call('HSET', KEYS[1], ARGV[1], cjson.encode(held))
return { 'ok', string.format('%.0f', granted[1]), string.format('%.0f', granted[2]) }
