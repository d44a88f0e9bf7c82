#!lua flags=allow-oom
-- Purpose: books what was used: in the four budgets, in the lines of the task's cost and in the sums of the day; the
--   reservation for it goes. What was used beyond the reservation counts too: it is spent already.
-- KEYS: 1 reservations, 2 budget of the day, 3 of the task, 4 of the subtask, 5 of the attempt, 6 cost of the task,
--   7 cost of the day, 8 mark of this settlement.
-- ARGV: reservation, USD that count (in millionths), tokens, percent from which it is told, milliseconds that is kept
--   what was spent, name of the line, the line as JSON (its amounts are added to what the line has), number of sums,
--   then for each sum its field and what is added; then the fields to which a new line adds 1.
-- Returns: {'ok', then for each budget that has just come to its warning or its end: budget 1 to 4, unit, 'near' or
--   'spent', limit, used}, or {'again'} if this was settled before.
-- Atomic: the end of the reservation with what was used, so that nothing counts twice or not at all.
local call = redis.call
if not call('SET', KEYS[8], '1', 'NX', 'PX', 3600000) then return { 'again' } end

local held = call('HGET', KEYS[1], ARGV[1])
if held then
  held = cjson.decode(held)
  for _, key in ipairs(held.keys) do
    -- A budget that has expired holds nothing.
    if call('EXISTS', key) == 1 then
      call('HINCRBY', key, 'usd_held', string.format('%.0f', 0 - held.usd))
      call('HINCRBY', key, 'tokens_held', string.format('%.0f', 0 - held.tokens))
    end
  end
  call('HDEL', KEYS[1], ARGV[1])
end

local reply = { 'ok' }
for n = 1, 4 do
  local key = KEYS[n + 1]
  for at, unit in ipairs({ 'usd', 'tokens' }) do
    local used = call('HINCRBY', key, unit .. '_used', ARGV[1 + at])
    local found = call('HMGET', key, unit .. '_max', unit .. '_told')
    local limit = tonumber(found[1] or '')
    local told = limit and (used >= limit and 'spent' or used * 100 >= limit * tonumber(ARGV[4]) and 'near')
    local mark = told and told .. ' ' .. found[1]
    if told and found[2] ~= mark then
      call('HSET', key, unit .. '_told', mark)
      for _, part in ipairs({ n, unit, told, found[1], tostring(used) }) do reply[#reply + 1] = part end
    end
  end
  call('PEXPIRE', key, ARGV[5])
end

local amounts = { 'usd', 'notional_usd', 'unpriced_calls', 'calls', 'tokens', 'input_tokens', 'output_tokens',
  'cache_read_tokens', 'cache_write_tokens' }
local line = cjson.decode(ARGV[7])
local before = call('HGET', KEYS[6], ARGV[6])
if before then
  before = cjson.decode(before)
  for _, name in ipairs(amounts) do line[name] = line[name] + before[name] end
  line.began_at = before.began_at
end
call('HSET', KEYS[6], ARGV[6], cjson.encode(line))
call('PEXPIRE', KEYS[6], ARGV[5])
for n = 0, tonumber(ARGV[8]) - 1 do call('HINCRBY', KEYS[7], ARGV[9 + 2 * n], ARGV[10 + 2 * n]) end
for n = 9 + 2 * tonumber(ARGV[8]), before and 0 or #ARGV do call('HINCRBY', KEYS[7], ARGV[n], 1) end
call('PEXPIRE', KEYS[7], ARGV[5])
return reply
