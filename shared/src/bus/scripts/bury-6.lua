#!lua flags=allow-oom
-- Purpose: forgets a dead or finished instance once nothing is pending at it any more.
-- KEYS: 1 the service's beats, 2 presence, 3..6 the inboxes.
-- ARGV: group, instance, counter at which its beat stood still, or '' where it says goodbye itself.
-- Returns: 1 if it is forgotten, 0 if it still holds entries or has beaten again.
-- Atomic: the look at what is pending with the deletion; DELCONSUMER with pending entries loses them (rule 5).
if ARGV[3] ~= '' and redis.call('HGET', KEYS[1], ARGV[2]) ~= ARGV[3] then return 0 end
for number = 3, 6 do
  if #redis.call('XPENDING', KEYS[number], ARGV[1], '-', '+', 1, ARGV[2]) > 0 then return 0 end
end
for number = 3, 6 do redis.call('XGROUP', 'DELCONSUMER', KEYS[number], ARGV[1], ARGV[2]) end
redis.call('HDEL', KEYS[1], ARGV[2])
redis.call('HDEL', KEYS[2], ARGV[2])
return 1
