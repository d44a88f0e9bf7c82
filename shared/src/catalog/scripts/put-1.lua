#!lua
-- Purpose: stores a definition that the fleet is given, if it is still the one that the writer knew.
-- KEYS: 1 agents (hash: revision, a:<id>, r:<id>).
-- ARGV: 1 id, 2 document (JSON), 3 revision that the writer knew ('' any, 0 none), 4 most definitions.
-- Returns: {'stored' | 'moved' | 'full', revision}: the new one, the one that stands, or how many there are.
-- Atomic: the definition and the number by which readers see that something changed.
local document, number = 'a:' .. ARGV[1], 'r:' .. ARGV[1]
local stands = tonumber(redis.call('HGET', KEYS[1], number) or '0')
if ARGV[3] ~= '' and tonumber(ARGV[3]) ~= stands then return { 'moved', stands } end
local count = math.floor(redis.call('HLEN', KEYS[1]) / 2)
if stands == 0 and count >= tonumber(ARGV[4]) then return { 'full', count } end
local revision = redis.call('HINCRBY', KEYS[1], 'revision', 1)
redis.call('HSET', KEYS[1], document, ARGV[2], number, revision)
return { 'stored', revision }
