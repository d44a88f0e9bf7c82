#!lua flags=allow-oom
-- Purpose: applies STOP_ALL, PAUSE_ALL, RESUME_ALL or DRAIN to the fleet or to one scope.
-- KEYS: 1 control, 2 who said what of the fleet and of each part.
-- ARGV: word, scope field such as 'task:x' or '' for the fleet, epoch that the sender knew or '' where it is
--   to be applied in any case, actor, time as text.
-- Returns: {'ok', 'idle' (a RESUME where nothing is held: nothing was changed) or 'refused', epoch, state}
-- A word that is weaker than what stands changes nothing, nor does the same one again: stopped is firmer than paused,
--   paused firmer than draining. Who said it, and when, stays with what stands. Only a RESUME loosens.
-- Atomic: the comparison with the change. STOP raises the epoch, and so does the RESUME that follows it (rule 17);
--   a RESUME after a PAUSE does not, for the attempts that went on meanwhile are still valid.
local control = redis.call('HMGET', KEYS[1], 'epoch', 'state')
local epoch, state = tonumber(control[1] or '0'), control[2] or 'running'
if ARGV[3] ~= '' and tonumber(ARGV[3]) ~= epoch then return { 'refused', epoch, state } end
local words = { STOP_ALL = 'stopped', PAUSE_ALL = 'paused', RESUME_ALL = 'running', DRAIN = 'draining' }
local firmness = { running = 0, draining = 1, paused = 2, stopped = 3 }
local wanted = words[ARGV[1]]
local isPart = ARGV[2] ~= ''
local before = state
if isPart then before = redis.call('HGET', KEYS[1], ARGV[2]) or 'running' end
if wanted == 'running' and before == 'running' then return { 'idle', epoch, state } end
if wanted ~= 'running' and firmness[wanted] <= (firmness[before] or 0) then
  if not isPart and wanted == 'stopped' and ARGV[3] == '' then
    -- A STOP that somebody wrote into the key is newer than any word still on its way: those must fail.
    epoch = epoch + 1
    redis.call('HSET', KEYS[1], 'epoch', epoch)
  end
  return { 'ok', epoch, state }
end
if not isPart then
  if wanted == 'stopped' or state == 'stopped' then epoch = epoch + 1 end
  state = wanted
  redis.call('HSET', KEYS[1], 'epoch', epoch, 'state', state)
elseif wanted == 'running' then
  redis.call('HDEL', KEYS[1], ARGV[2])
else
  redis.call('HSET', KEYS[1], ARGV[2], wanted)
end
redis.call('HSET', KEYS[1], 'by', ARGV[4], 'at', ARGV[5])
-- Here, for a command of its own would be refused at maxmemory.
if isPart and wanted == 'running' then
  redis.call('HDEL', KEYS[2], ARGV[2])
else
  redis.call('HSET', KEYS[2], isPart and ARGV[2] or 'fleet', cjson.encode({ by = ARGV[4], at = ARGV[5] }))
end
return { 'ok', epoch, state }
