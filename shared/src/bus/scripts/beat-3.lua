#!lua flags=allow-oom
-- Purpose: one heartbeat: counts up, tells of itself, learns the state of the fleet and how its peers' counters stand.
-- KEYS: 1 the service's beats, 2 presence, 3 control.
-- ARGV: instance, presence as JSON or '' if unchanged, highest epoch this process has seen, the state it then had.
-- Returns: {time in ms, epoch, state, peers' names and counters flat}
-- Atomic: the state that is kept never falls behind what any process has seen: a failover cannot roll a STOP
--   back (rule 19). On equal epochs STOP wins (rule 18).
redis.call('HINCRBY', KEYS[1], ARGV[1], 1)
if ARGV[2] ~= '' then redis.call('HSET', KEYS[2], ARGV[1], ARGV[2]) end
local control = redis.call('HMGET', KEYS[3], 'epoch', 'state')
local epoch, state = tonumber(control[1] or '0'), control[2] or 'running'
local seen = tonumber(ARGV[3])
if seen > epoch or (seen == epoch and ARGV[4] == 'stopped' and state ~= 'stopped') then
  epoch, state = seen, ARGV[4]
  redis.call('HSET', KEYS[3], 'epoch', epoch, 'state', state)
end
local time = redis.call('TIME')
return { time[1] * 1000 + math.floor(time[2] / 1000), epoch, state, redis.call('HGETALL', KEYS[1]) }
