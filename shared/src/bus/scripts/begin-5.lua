#!lua flags=allow-oom
-- Purpose: the gate before anything is spawned: is the claim still ours, of this epoch, and the task alive? If
--   so, publishes what is to be known of the beginning.
-- KEYS: 1 inbox, 2 control, 3 task document, 4 journal, 5 deaths.
-- ARGV: group, id, consumer, deliveries, epoch, scopes with commas, '1' if its task must be there, '1' if it may
--   have ended, '1' if it runs alone, journal length, number of messages,
--   (inbox, json, text for the journal or '' for the json)*
-- Returns: 'ok', 'lost', 'stopped ' .. epoch, 'held ' .. epoch (a scope of it is held), 'ended ' .. status, where the
--   status may be 'deleted', or 'type ' .. key.
-- Atomic: the checks with the messages that say it began.
local row = redis.call('XPENDING', KEYS[1], ARGV[1], ARGV[2], ARGV[2], 1)[1]
if not row or row[2] ~= ARGV[3] or row[4] ~= tonumber(ARGV[4]) then return 'lost' end
local control = redis.call('HMGET', KEYS[2], 'epoch', 'state')
if (control[1] or '0') ~= ARGV[5] or control[2] == 'stopped' then return 'stopped ' .. (control[1] or '0') end
for scope in string.gmatch(ARGV[6], '[^,]+') do
  if redis.call('HEXISTS', KEYS[2], scope) == 1 then return 'held ' .. (control[1] or '0') end
end
local status = redis.call('HGET', KEYS[3], 'status')
if ARGV[7] == '1' and not status and redis.call('EXISTS', KEYS[3]) == 0 then return 'ended deleted' end
local ended = status == 'cancelled' or status == 'failed' or status == 'completed'
if ended and ARGV[8] ~= '1' then return 'ended ' .. status end
-- Lua does not roll back (rule 9): what cannot be written is found before anything is.
local wanted = { [KEYS[4]] = 'stream', [KEYS[5]] = 'hash' }
for n = 0, tonumber(ARGV[11]) - 1 do wanted[ARGV[12 + 3 * n]] = 'stream' end
for key, type in pairs(wanted) do
  local found = redis.call('TYPE', key).ok
  if found ~= 'none' and found ~= type then return 'type ' .. key end
end
if ARGV[9] == '1' then redis.call('HSET', KEYS[5], KEYS[1] .. '|' .. ARGV[2] .. '|alone', ARGV[3]) end
local journal = {}
for n = 0, tonumber(ARGV[11]) - 1 do
  local json, short = ARGV[13 + 3 * n], ARGV[14 + 3 * n]
  redis.call('XADD', ARGV[12 + 3 * n], '*', 'm', json)
  journal[#journal + 1] = 'p'
  journal[#journal + 1] = short == '' and json or short
end
if #journal > 0 then redis.call('XADD', KEYS[4], 'MAXLEN', '~', ARGV[10], '*', unpack(journal)) end
return 'ok'
