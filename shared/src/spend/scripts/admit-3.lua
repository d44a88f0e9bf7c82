#!lua
-- Purpose: lets a call go to a provider's account and model, or says how long it has to wait.
-- KEYS: 1 governor of the model, 2 its flights, 3 governor of the whole account.
-- ARGV: call, how many side by side at first, calls a minute or '', milliseconds that a governor is kept.
-- Returns: {'go'}, or {'wait', milliseconds, why}: limited (the provider said so), broken (it failed too often),
--   rate (so many a minute), full (so many side by side).
-- Modes of the breaker: closed; open until a time; half-open, with one probe under way. Only a report closes it.
-- Atomic: every limit is looked at and counted in one step, for the whole fleet.
local call = redis.call
local time = call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local found = call('HMGET', KEYS[1], 'until', 'open_until', 'probe', 'limit', 'level', 'level_at')
local limited = math.max(tonumber(found[1] or '0'), tonumber(call('HGET', KEYS[3], 'until') or '0'))
if limited > now then return { 'wait', limited - now, 'limited' } end

local opened = found[2]
if opened then
  if tonumber(opened) > now then return { 'wait', tonumber(opened) - now, 'broken' } end
  -- Half-open: one at a time. A probe whose caller is gone is no flight any more.
  if found[3] and call('HEXISTS', KEYS[2], found[3]) == 1 then return { 'wait', 1000, 'broken' } end
end
local limit = tonumber(found[4] or ARGV[2])
if call('HLEN', KEYS[2]) >= math.max(1, math.floor(limit)) then return { 'wait', 50, 'full' } end

if ARGV[3] ~= '' then
  -- A bucket that holds what comes in a second, or one: what runs over is never more than that in any minute.
  local each = tonumber(ARGV[3]) / 60000
  local size = math.max(1, each * 1000)
  local level = math.min(size, tonumber(found[5] or size) + (now - tonumber(found[6] or now)) * each)
  call('HSET', KEYS[1], 'level', level >= 1 and level - 1 or level, 'level_at', now)
  if level < 1 then return { 'wait', math.max(1, math.ceil((1 - level) / each)), 'rate' } end
end
if opened then call('HSET', KEYS[1], 'probe', ARGV[1]) end
call('HSET', KEYS[2], ARGV[1], now)
call('PEXPIRE', KEYS[1], ARGV[4])
call('PEXPIRE', KEYS[2], ARGV[4])
return { 'go' }
