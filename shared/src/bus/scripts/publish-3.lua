#!lua
-- Purpose: puts messages into their inboxes, and into the journal, in one call per tick. At the edge it also
--   refuses what was sent before and what is too much; follow-ups never pass here.
-- KEYS: 1 journal, 2 open tasks, 3 due. The inboxes, the park and what is attached are named in ARGV: one slot.
-- ARGV: journal length, seconds that an id is remembered, park key, number of messages; then for each:
--   inbox, json, text for the journal or '' for the json, id, delay in ms or '',
--   limit of tasks in flight or '', seen key or '', text to remember,
--   mark key or '', number of attachments, (key, text)*
-- Returns: for each message 'ok', 'seen ' .. remembered text, 'full ' .. number of tasks in flight, or 'type ' .. key.
-- Atomic: the check of what was seen, the attachments and the message itself.
local at = 4
local journal = {}
local results = {}
local types = {}

-- Checked before anything of a message is written: Lua does not roll back (rule 9).
local function unfit(key, wanted)
  local found = types[key]
  if not found then
    found = redis.call('TYPE', key).ok
    types[key] = found
  end
  if found ~= 'none' and found ~= wanted then return 'type ' .. key end
end
local broken = unfit(KEYS[1], 'stream')

for n = 1, tonumber(ARGV[4]) do
  local inbox, json, short, id, delay = ARGV[at + 1], ARGV[at + 2], ARGV[at + 3], ARGV[at + 4], ARGV[at + 5]
  local limit, seen, remember, mark = ARGV[at + 6], ARGV[at + 7], ARGV[at + 8], ARGV[at + 9]
  local attachments = tonumber(ARGV[at + 10])
  at = at + 10
  local result = broken or unfit(inbox, 'stream')
  if not result and delay ~= '' then result = unfit(ARGV[3], 'hash') or unfit(KEYS[3], 'zset') end
  result = result or 'ok'
  if result == 'ok' and seen ~= '' then
    local before = redis.call('GET', seen)
    if before then result = 'seen ' .. before end
  end
  if result == 'ok' and limit ~= '' then
    local flying = redis.call('ZCARD', KEYS[2]) + redis.call('XLEN', inbox)
    if flying >= tonumber(limit) then result = 'full ' .. flying end
  end
  if result == 'ok' then
    if seen ~= '' then redis.call('SET', seen, remember, 'EX', ARGV[2]) end
    if mark ~= '' then redis.call('SET', mark, id, 'EX', ARGV[2]) end
    for k = 0, attachments - 1 do redis.call('SET', ARGV[at + 1 + 2 * k], ARGV[at + 2 + 2 * k]) end
    if delay == '' then
      redis.call('XADD', inbox, '*', 'm', json)
    else
      local time = redis.call('TIME')
      redis.call('HSET', ARGV[3], id, inbox .. ' ' .. json)
      redis.call('ZADD', KEYS[3], time[1] * 1000 + math.floor(time[2] / 1000) + delay, id)
    end
    journal[#journal + 1] = 'p'
    journal[#journal + 1] = short == '' and json or short
  end
  at = at + 2 * attachments
  results[n] = result
end
if #journal > 0 then redis.call('XADD', KEYS[1], 'MAXLEN', '~', ARGV[1], '*', unpack(journal)) end
return results
