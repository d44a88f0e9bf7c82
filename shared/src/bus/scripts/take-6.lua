#!lua flags=allow-oom
-- Purpose: fills exactly the free slots of a consumer: what was given back, what is due for takeover, then new
--   entries, highest priority first. Refuses while the fleet is stopped or paused, or the service or the instance is
--   held by itself in any way: a fleet that drains finishes its work, a part that drains begins nothing new.
-- KEYS: 1 control, 2 deaths, 3..6 the inboxes CRITICAL, HIGH, NORMAL, LOW.
-- ARGV: group, consumer, free slots, '1' to begin at the lowest, '1' to look for idle entries, idle limit in ms,
--   '1' to read new entries, when it was asked (ms), number of dead consumers, their names.
-- Returns: {epoch, the fleet's state or 'held',
--   {inbox number 1..4, id, deliveries, 'm', source, deaths, '1' if it died alone}*}
-- Atomic: the look at the state and the claims. XCLAIM without JUSTID raises the delivery count, so the
--   token of whoever held the entry before is worth nothing from here on (rule 1).
local group, consumer, left = ARGV[1], ARGV[2], tonumber(ARGV[3])
local control = redis.call('HMGET', KEYS[1], 'epoch', 'state', 'service:' .. group, 'instance:' .. consumer)
local epoch, state = tonumber(control[1] or '0'), control[2] or 'running'
local held = state
if held == 'draining' then held = 'running' end
if held == 'running' and control[3] then held = control[3] end
if held == 'running' and control[4] then held = control[4] end
local reply = { epoch, state }
if held ~= 'running' then
  reply[2] = 'held'
  return reply
end

local function bodyOf(fields)
  if not fields then return false end
  for f = 1, #fields, 2 do
    if fields[f] == 'm' then return fields[f + 1] end
  end
  return 'no field m: ' .. cjson.encode(fields)
end

-- An entry is called 'died' where it died alone in its process; until then the mark holds who runs it alone.
local function claim(number, row, source)
  local key, id = KEYS[number + 2], row[1]
  local claimed = redis.call('XCLAIM', key, group, consumer, 0, id)
  if #claimed == 0 or not claimed[1] then return end
  local body = bodyOf(claimed[1][2])
  if body == false then
    redis.call('XACK', key, group, id)
    return
  end
  local name = key .. '|' .. id
  if source == 'dead' then
    redis.call('HINCRBY', KEYS[2], name, 1)
    if redis.call('HEXISTS', KEYS[2], name .. '|alone') == 1 then
      redis.call('HSET', KEYS[2], name .. '|alone', 'died')
    end
  end
  local known = redis.call('HMGET', KEYS[2], name, name .. '|alone')
  local alone = known[2] == 'died' and '1' or '0'
  reply[#reply + 1] = { number, id, row[4] + 1, body, source, tonumber(known[1] or '0'), alone }
  left = left - 1
end

for number = 1, 4 do
  if left > 0 then
    for _, row in ipairs(redis.call('XPENDING', KEYS[number + 2], group, '-', '+', left, 'nobody')) do
      claim(number, row, 'nobody')
    end
  end
end
for d = 1, tonumber(ARGV[9]) do
  for number = 1, 4 do
    if left > 0 then
      for _, row in ipairs(redis.call('XPENDING', KEYS[number + 2], group, '-', '+', left, ARGV[9 + d])) do
        claim(number, row, 'dead')
      end
    end
  end
end
-- Redis stood still meanwhile: everybody looks idle, and whoever asked may be gone.
local now = redis.call('TIME')
local late = tonumber(now[1]) * 1000 + tonumber(now[2]) / 1000 - tonumber(ARGV[8]) > 2000
if ARGV[5] == '1' and not late then
  for number = 1, 4 do
    if left > 0 then
      local rows = redis.call('XPENDING', KEYS[number + 2], group, 'IDLE', ARGV[6], '-', '+', left + 64)
      for _, row in ipairs(rows) do
        if left > 0 and row[2] ~= consumer and row[2] ~= 'nobody' then claim(number, row, 'idle') end
      end
    end
  end
end
if ARGV[7] == '1' then
  for step = 1, 4 do
    local number = ARGV[4] == '1' and 5 - step or step
    if left > 0 then
      local read = redis.call('XREADGROUP', 'GROUP', group, consumer, 'COUNT', left, 'STREAMS', KEYS[number + 2], '>')
      if read then
        for _, entry in ipairs(read[1][2]) do
          reply[#reply + 1] = { number, entry[1], 1, bodyOf(entry[2]) or 'no field m: []', 'new', 0, '0' }
          left = left - 1
        end
      end
    end
  end
end
return reply
