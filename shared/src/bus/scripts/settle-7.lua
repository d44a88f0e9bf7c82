#!lua flags=allow-oom
-- Purpose: ends deliveries: follow-ups, ledger, park or dead letter, acknowledgement; each entry all or nothing.
-- KEYS: 1 control, 2 journal, 3 parked, 4 due, 5 dead letters, 6 their order, 7 deaths. Inboxes and ledger
--   documents are named in ARGV: one slot.
-- ARGV: group, consumer, journal length, number of entries, then for each:
--   inbox, id, deliveries, epoch or '' where any will do, end, journal line,
--   number of writes, writes*, number of messages, (inbox, json, text for the journal or '', id, delay in ms or '')*
--   end:   'done' | 'keep' | 'nobody' | 'park' id json delay | 'dead' id json
--   write: 'patch' key revision fields (name, value)* deletions name* | 'remove' key | 'index' key member score |
--          'unindex' key member | 'count' key field by seconds
-- Returns: for each entry 'ok', 'lost', 'epoch', 'moved', 'twice' or 'type ' .. key.
-- Atomic: first all checks of all entries, then the writes of those that passed, which cannot fail: Lua does not
--   roll back (rule 9). Never use a command below the line that can meet a wrong type unchecked above it.
local group, consumer = ARGV[1], ARGV[2]
local epoch = redis.call('HGET', KEYS[1], 'epoch') or '0'
local results, plans = {}, {}
local types, revisions, named = {}, {}, {}

local function typed(key, wanted)
  local found = types[key]
  if not found then
    found = redis.call('TYPE', key).ok
    if found == 'none' then found = wanted end
    types[key] = found
  end
  return found == wanted
end

local wants = { patch = 'hash', index = 'zset', unindex = 'zset', count = 'hash' }
local sizes = { remove = 2, index = 4, unindex = 3, count = 5 }

-- Reads one write; returns where the next one begins.
local function after(at)
  if ARGV[at] ~= 'patch' then return at + sizes[ARGV[at]] end
  local names = at + 4 + 2 * tonumber(ARGV[at + 3])
  return names + 1 + tonumber(ARGV[names])
end

local at = 5
for n = 1, tonumber(ARGV[4]) do
  local plan = { inbox = ARGV[at], id = ARGV[at + 1], ending = ARGV[at + 4], line = ARGV[at + 5], writes = {} }
  local result = 'ok'
  local row = redis.call('XPENDING', plan.inbox, group, plan.id, plan.id, 1)[1]
  if not row or row[2] ~= consumer or row[4] ~= tonumber(ARGV[at + 2]) then
    result = 'lost'
  elseif ARGV[at + 3] ~= '' and ARGV[at + 3] ~= epoch then
    result = 'epoch'
  elseif named[plan.inbox .. plan.id] then
    result = 'twice'
  end
  at = at + 6
  if plan.ending == 'park' then
    plan.ref, plan.json, plan.delay = ARGV[at], ARGV[at + 1], ARGV[at + 2]
    at = at + 3
  elseif plan.ending == 'dead' then
    plan.ref, plan.json = ARGV[at], ARGV[at + 1]
    at = at + 2
  end
  local fresh = {}
  local count = tonumber(ARGV[at])
  at = at + 1
  for w = 1, count do
    local op, key = ARGV[at], ARGV[at + 1]
    plan.writes[w] = at
    if result == 'ok' then
      if wants[op] and not typed(key, wants[op]) then
        result = 'type ' .. key
      elseif op == 'patch' then
        local stands = fresh[key] or revisions[key]
        if not stands then stands = tonumber(redis.call('HGET', key, 'revision') or '0') end
        if stands ~= tonumber(ARGV[at + 2]) then result = 'moved' else fresh[key] = stands + 1 end
      end
    end
    at = after(at)
  end
  plan.messages, plan.first = tonumber(ARGV[at]), at + 1
  for m = 0, plan.messages - 1 do
    local key = ARGV[at + 1 + 5 * m]
    if result == 'ok' and not typed(key, 'stream') then result = 'type ' .. key end
  end
  at = at + 1 + 5 * plan.messages
  if result == 'ok' then
    named[plan.inbox .. plan.id] = true
    for key, revision in pairs(fresh) do revisions[key] = revision end
    plans[#plans + 1] = plan
  end
  results[n] = result
end
if #plans == 0 then return results end

------------------------------------------------------------------- everything is checked; now it is written
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local journal, ended, deaths = {}, {}, redis.call('HLEN', KEYS[7]) > 0

local function write(from)
  local op, key = ARGV[from], ARGV[from + 1]
  if op == 'patch' then
    local sets = tonumber(ARGV[from + 3])
    local fields = { 'revision', ARGV[from + 2] + 1 }
    for f = 1, 2 * sets do fields[f + 2] = ARGV[from + 3 + f] end
    redis.call('HSET', key, unpack(fields))
    local names = from + 4 + 2 * sets
    for d = 1, tonumber(ARGV[names]) do redis.call('HDEL', key, ARGV[names + d]) end
  elseif op == 'remove' then
    redis.call('UNLINK', key)
  elseif op == 'index' then
    redis.call('ZADD', key, ARGV[from + 3], ARGV[from + 2])
  elseif op == 'unindex' then
    redis.call('ZREM', key, ARGV[from + 2])
  elseif op == 'count' then
    local value = redis.call('HINCRBY', key, ARGV[from + 2], ARGV[from + 3])
    if value == 0 then redis.call('HDEL', key, ARGV[from + 2]) end
    if ARGV[from + 4] ~= '0' then redis.call('EXPIRE', key, ARGV[from + 4]) end
  end
end

for _, plan in ipairs(plans) do
  for _, from in ipairs(plan.writes) do write(from) end
  for m = 0, plan.messages - 1 do
    local from = plan.first + 5 * m
    local inbox, json, short, id, delay = ARGV[from], ARGV[from + 1], ARGV[from + 2], ARGV[from + 3], ARGV[from + 4]
    if delay == '' then
      redis.call('XADD', inbox, '*', 'm', json)
    else
      redis.call('HSET', KEYS[3], id, inbox .. ' ' .. json)
      redis.call('ZADD', KEYS[4], now + delay, id)
    end
    journal[#journal + 1] = 'p'
    journal[#journal + 1] = short == '' and json or short
  end
  if plan.line ~= '' then
    journal[#journal + 1] = 's'
    journal[#journal + 1] = plan.line
  end
  -- Ids that people give may come twice: the second must not take the place of the first.
  local taken = plan.ending == 'park' and KEYS[3] or plan.ending == 'dead' and KEYS[5]
  if taken and redis.call('HEXISTS', taken, plan.ref) == 1 then plan.ref = plan.ref .. '~' .. plan.id end
  if plan.ending == 'park' then
    redis.call('HSET', KEYS[3], plan.ref, plan.inbox .. ' ' .. plan.json)
    redis.call('ZADD', KEYS[4], now + plan.delay, plan.ref)
  elseif plan.ending == 'dead' then
    redis.call('HSET', KEYS[5], plan.ref, plan.json)
    redis.call('ZADD', KEYS[6], now, plan.ref)
  elseif plan.ending == 'nobody' then
    redis.call('XCLAIM', plan.inbox, group, 'nobody', 0, plan.id, 'JUSTID')
    if deaths then redis.call('HDEL', KEYS[7], plan.inbox .. '|' .. plan.id .. '|alone') end
  end
  if plan.ending ~= 'keep' and plan.ending ~= 'nobody' then
    local ids = ended[plan.inbox] or {}
    ids[#ids + 1] = plan.id
    ended[plan.inbox] = ids
  end
  if deaths and plan.ending ~= 'nobody' then
    redis.call('HDEL', KEYS[7], plan.inbox .. '|' .. plan.id, plan.inbox .. '|' .. plan.id .. '|alone')
  end
end
for inbox, ids in pairs(ended) do
  redis.call('XACK', inbox, group, unpack(ids))
  redis.call('XDEL', inbox, unpack(ids))
end
if #journal > 0 then redis.call('XADD', KEYS[2], 'MAXLEN', '~', ARGV[3], '*', unpack(journal)) end
return results
