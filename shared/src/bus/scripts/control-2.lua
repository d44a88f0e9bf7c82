#!lua flags=allow-oom
-- Purpose: applies STOP_ALL, PAUSE_ALL, RESUME_ALL or DRAIN to the fleet or to one scope.
-- KEYS: 1 control, 2 who said what of the fleet and of each part.
-- ARGV: word, scope field such as 'task:x' or '' for the fleet, epoch that the sender knew or '' where it is
--   to be applied in any case, actor, time as text.
-- Returns: {'ok', 'idle' (a RESUME where nothing is held: nothing was changed) or 'refused', epoch, state}
-- Atomic: the comparison with the change. STOP raises the epoch, and so does the RESUME that follows it (rule 17);
--   a RESUME after a PAUSE does not, for the attempts that went on meanwhile are still valid.
local control = redis.call('HMGET', KEYS[1], 'epoch', 'state')
local epoch, state = tonumber(control[1] or '0'), control[2] or 'running'
if ARGV[3] ~= '' and tonumber(ARGV[3]) ~= epoch then return { 'refused', epoch, state } end
local words = { STOP_ALL = 'stopped', PAUSE_ALL = 'paused', RESUME_ALL = 'running', DRAIN = 'draining' }
local wanted = words[ARGV[1]]
if ARGV[2] ~= '' then
  if wanted == 'running' then
    if redis.call('HDEL', KEYS[1], ARGV[2]) == 0 then return { 'idle', epoch, state } end
  else
    redis.call('HSET', KEYS[1], ARGV[2], wanted)
  end
elseif wanted == 'running' and state == 'running' then
  return { 'idle', epoch, state }
elseif wanted == 'stopped' and state == 'stopped' and ARGV[3] == '' then
  -- A STOP that somebody wrote into the key is newer than any word still on its way: those must fail.
  epoch = epoch + 1
  redis.call('HSET', KEYS[1], 'epoch', epoch)
elseif wanted ~= state and not (state == 'stopped' and wanted ~= 'running') then
  if wanted == 'stopped' or state == 'stopped' then epoch = epoch + 1 end
  state = wanted
  redis.call('HSET', KEYS[1], 'epoch', epoch, 'state', state)
end
redis.call('HSET', KEYS[1], 'by', ARGV[4], 'at', ARGV[5])
-- Here, for a command of its own would be refused at maxmemory.
if ARGV[2] ~= '' and wanted == 'running' then
  redis.call('HDEL', KEYS[2], ARGV[2])
else
  local part = ARGV[2] == '' and 'fleet' or ARGV[2]
  redis.call('HSET', KEYS[2], part, cjson.encode({ by = ARGV[4], at = ARGV[5] }))
end
return { 'ok', epoch, state }
