#!lua flags=allow-oom
-- Purpose: takes in how calls to a provider's account and model ended.
-- KEYS: 1 governor of the model, 2 its flights, 3 governor of the whole account.
-- ARGV: call, how it ended, milliseconds that the provider asks to wait or '', how many side by side at first and at
--   most, failures in a row that open the breaker, milliseconds that it is open at first, milliseconds that a governor
--   is kept, '1' if the call goes on.
--   How: well; limited (of this model); used-up (the whole account); failed; unused.
-- Returns: {how many side by side now, until when it is limited or 0, until when the breaker is open or 0}
-- Atomic: the end of the flight with what follows from it. Side by side it is more by one a round while all goes well,
--   and half when the provider has had enough: once for all calls that were under way by then.
local call = redis.call
local time = call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local began = tonumber(call('HGET', KEYS[2], ARGV[1]) or '0')
if ARGV[9] ~= '1' then call('HDEL', KEYS[2], ARGV[1]) end
local found = call('HMGET', KEYS[1], 'limit', 'cut_at', 'fails', 'probe', 'open_for', 'pause', 'open_until', 'until')
local limit = tonumber(found[1] or ARGV[4])
local wasProbe = found[4] == ARGV[1]

if ARGV[2] == 'well' then
  limit = math.min(tonumber(ARGV[5]), limit + 1 / math.max(1, limit))
  call('HSET', KEYS[1], 'limit', limit, 'fails', 0)
  call('HDEL', KEYS[1], 'pause')
  if wasProbe or not found[7] then call('HDEL', KEYS[1], 'probe', 'open_until', 'open_for') end
elseif ARGV[2] == 'limited' or ARGV[2] == 'used-up' then
  local cut = tonumber(found[2] or '0')
  -- A process lives through many refusals: each half minute of them counts once.
  local isNew = began > cut or (ARGV[9] == '1' and now - cut > 30000)
  -- Without a word of the provider the pause doubles from a second to a minute.
  local last = tonumber(found[6] or (isNew and '500' or '1000'))
  local pause = tonumber(ARGV[3]) or math.min(60000, isNew and 2 * last or last)
  if isNew then
    limit = math.max(1, limit / 2)
    call('HSET', KEYS[1], 'limit', limit, 'cut_at', now, 'pause', math.max(1000, math.min(60000, pause)))
  end
  local key = ARGV[2] == 'limited' and KEYS[1] or KEYS[3]
  if now + pause > tonumber(call('HGET', key, 'until') or '0') then call('HSET', key, 'until', now + pause) end
  call('PEXPIRE', key, math.max(tonumber(ARGV[8]), pause + 60000))
  -- It answers, so it is not broken.
  if wasProbe then call('HDEL', KEYS[1], 'probe', 'open_until', 'open_for') end
elseif ARGV[2] == 'failed' then
  local fails = call('HINCRBY', KEYS[1], 'fails', 1)
  if wasProbe or (fails >= tonumber(ARGV[6]) and not found[7]) then
    local open = math.min(600000, found[5] and 2 * tonumber(found[5]) or tonumber(ARGV[7]))
    call('HSET', KEYS[1], 'open_until', now + open, 'open_for', open)
    call('HDEL', KEYS[1], 'probe')
  end
elseif wasProbe then
  call('HDEL', KEYS[1], 'probe')
end
call('PEXPIRE', KEYS[1], math.max(tonumber(ARGV[8]), call('PTTL', KEYS[1])))
local after = call('HMGET', KEYS[1], 'until', 'open_until')
local account = tonumber(call('HGET', KEYS[3], 'until') or '0')
return { tostring(limit), math.max(tonumber(after[1] or '0'), account), tonumber(after[2] or '0') }
