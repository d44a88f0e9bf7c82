#!lua
-- Purpose: sets the limits of a budget, as a person says; they count from the next reservation on, whatever was given
--   before. A warning that was told of the old limit is told anew of the new one.
-- KEYS: 1 budget.
-- ARGV: USD in millionths or '' to leave it, tokens or '' to leave it, milliseconds that it is kept.
-- Returns: 'ok'.
for at, unit in ipairs({ 'usd', 'tokens' }) do
  if ARGV[at] ~= '' then
    redis.call('HSET', KEYS[1], unit .. '_said', ARGV[at], unit .. '_max', ARGV[at])
    redis.call('HDEL', KEYS[1], unit .. '_told')
  end
end
redis.call('PEXPIRE', KEYS[1], ARGV[3])
return 'ok'
