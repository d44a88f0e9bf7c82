#!lua
-- Purpose: puts messages into their inboxes, and into the journal, in one call per tick. At the edge it also
--   refuses what was sent before and what is too much; follow-ups never pass here.
-- KEYS: 1 journal, 2 open tasks, 3 due. The inboxes, the park and what is attached are named in ARGV: one slot.
-- ARGV: journal length, seconds that an id is remembered, park key, number of sets; then for each set
--   inbox, number of plain messages, json*; or
--   inbox, 0, json, text for the journal or '' for the json, id, delay in ms or '', limit of tasks in flight or '',
--   seen key or '', text to remember, mark key or '', number of attachments, (key, text)*
-- Returns: for each set 'ok', 'seen ' .. remembered text, 'full ' .. number of tasks in flight, or 'type ' .. key.
-- Atomic: the check of what was seen, the attachments and the message itself.
local call = redis.call
local journal, said = {}, 0
local results = {}
local types = {}

-- Checked before anything of a message is written: Lua does not roll back (rule 9).
local function unfit(key, wanted)
  local found = types[key]
  if not found then
    found = call('TYPE', key).ok
    types[key] = found
  end
  if found ~= 'none' and found ~= wanted then return 'type ' .. key end
end

-- Publishes what is more than a message for an inbox; `at` is where its id stands. Returns the result.
local function publishMore(at, inbox, json)
  local id, delay, limit, seen = ARGV[at], ARGV[at + 1], ARGV[at + 2], ARGV[at + 3]
  local mark, attachments = ARGV[at + 5], tonumber(ARGV[at + 6])
  local broken = delay ~= '' and (unfit(ARGV[3], 'hash') or unfit(KEYS[3], 'zset'))
  if broken then return broken end
  local before = seen ~= '' and call('GET', seen)
  if before then return 'seen ' .. before end
  if limit ~= '' then
    local flying = call('ZCARD', KEYS[2]) + call('XLEN', inbox)
    if flying >= tonumber(limit) then return 'full ' .. flying end
  end
  if seen ~= '' then call('SET', seen, ARGV[at + 4], 'EX', ARGV[2]) end
  if mark ~= '' then call('SET', mark, id, 'EX', ARGV[2]) end
  for k = 0, attachments - 1 do call('SET', ARGV[at + 7 + 2 * k], ARGV[at + 8 + 2 * k]) end
  if delay == '' then
    call('XADD', inbox, '*', 'm', json)
  else
    local time = call('TIME')
    call('HSET', ARGV[3], id, inbox .. ' ' .. json)
    call('ZADD', KEYS[3], time[1] * 1000 + math.floor(time[2] / 1000) + delay, id)
  end
  return 'ok'
end

local function tell(json)
  journal[said + 1], journal[said + 2] = 'p', json
  said = said + 2
end

local broken = unfit(KEYS[1], 'stream')
local at = 5
for n = 1, tonumber(ARGV[4]) do
  local inbox, plain = ARGV[at], tonumber(ARGV[at + 1])
  local result = broken or unfit(inbox, 'stream')
  if plain > 0 then
    if not result then
      for m = at + 2, at + 1 + plain do
        local json = ARGV[m]
        call('XADD', inbox, '*', 'm', json)
        tell(json)
      end
    end
    at = at + 2 + plain
  else
    local json, short = ARGV[at + 2], ARGV[at + 3]
    result = result or publishMore(at + 4, inbox, json)
    if result == 'ok' then tell(short == '' and json or short) end
    at = at + 11 + 2 * tonumber(ARGV[at + 10])
  end
  results[n] = result or 'ok'
end
if said > 0 then call('XADD', KEYS[1], 'MAXLEN', '~', ARGV[1], '*', unpack(journal)) end
return results
