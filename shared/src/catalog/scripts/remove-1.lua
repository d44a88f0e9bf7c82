#!lua
-- Purpose: takes a definition from the fleet, if it is still the one that the writer knew.
-- KEYS: 1 agents (hash: revision, a:<id>, r:<id>).
-- ARGV: 1 id, 2 revision that the writer knew ('' any).
-- Returns: {'removed' | 'moved' | 'unknown', revision}.
-- Atomic: the definition and the number by which readers see that something changed.
local document, number = 'a:' .. ARGV[1], 'r:' .. ARGV[1]
local stands = tonumber(redis.call('HGET', KEYS[1], number) or '0')
if stands == 0 then return { 'unknown', 0 } end
if ARGV[2] ~= '' and tonumber(ARGV[2]) ~= stands then return { 'moved', stands } end
redis.call('HDEL', KEYS[1], document, number)
return { 'removed', redis.call('HINCRBY', KEYS[1], 'revision', 1) }
