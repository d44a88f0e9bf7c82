#!lua flags=allow-oom
-- Purpose: renews the claims of a consumer, and tells of each whether it still is one.
-- KEYS: 1 control. The inboxes and task documents are named in ARGV: one slot.
-- ARGV: group, consumer, number of claims, then for each:
--   inbox, id, deliveries, task document, scopes with commas, '1' if the task must be there, '1' if it may have ended
-- Returns: {epoch, state, for each 'ok', 'lost', 'ended' or 'stopped'}
-- Atomic: the comparison with the renewal. A bare renewal by a paused owner would steal the entry back (rule 1).
local control = redis.call('HMGET', KEYS[1], 'epoch', 'state')
local reply = { tonumber(control[1] or '0'), control[2] or 'running' }
for n = 0, tonumber(ARGV[3]) - 1 do
  local at = 4 + 7 * n
  local row = redis.call('XPENDING', ARGV[at], ARGV[1], ARGV[at + 1], ARGV[at + 1], 1)[1]
  local result = 'ok'
  if not row or row[2] ~= ARGV[2] or row[4] ~= tonumber(ARGV[at + 2]) then
    result = 'lost'
  else
    redis.call('XCLAIM', ARGV[at], ARGV[1], ARGV[2], 0, ARGV[at + 1], 'JUSTID')
    -- Something else under the name of one task must not keep the other claims from being renewed.
    local status = redis.pcall('HGET', ARGV[at + 3], 'status')
    local ended = status == 'cancelled' or status == 'failed'
    if ended and ARGV[at + 6] ~= '1' then result = 'ended' end
    if ARGV[at + 5] == '1' and not status and redis.call('EXISTS', ARGV[at + 3]) == 0 then result = 'ended' end
    for scope in string.gmatch(ARGV[at + 4], '[^,]+') do
      if redis.call('HGET', KEYS[1], scope) == 'stopped' then result = 'stopped' end
    end
  end
  reply[#reply + 1] = result
end
return reply
