#!lua
-- Purpose: replaces a dead letter by its edited self.
-- KEYS: 1 dead letters.
-- ARGV: id, the letter as it was read, the letter as it shall be.
-- Returns: 1, or 0 where it is gone or was changed meanwhile.
-- Atomic: the comparison with the replacement: of two people who edit, the second is told.
if redis.call('HGET', KEYS[1], ARGV[1]) ~= ARGV[2] then return 0 end
redis.call('HSET', KEYS[1], ARGV[1], ARGV[3])
return 1
