-- Purpose: keeps what an embedding model makes of a memory, where the server has vector sets.
-- KEYS: 1 the memory, 2 the vector set of its scope.
-- ARGV: id, element*.
-- Returns: 'kept'; 'anew' if the set was of other dimensions, as after a change of the model, and begins with this one;
--   'gone' if there is no such memory (any more); 'absent' if the server knows no vector sets.
-- Atomic: a vector belongs to a memory that is there.
if redis.call('EXISTS', KEYS[1]) == 0 then return 'gone' end
local asked = { KEYS[2], 'VALUES', #ARGV - 1 }
for at = 2, #ARGV do asked[at + 2] = ARGV[at] end
asked[#asked + 1] = ARGV[1]
local said = redis.pcall('VADD', unpack(asked))
local problem = type(said) == 'table' and said.err
if not problem then return 'kept' end
if string.find(string.lower(problem), 'unknown', 1, true) then return 'absent' end
if not string.find(problem, 'dimension', 1, true) then return redis.error_reply(problem) end
-- No vector of another model can be compared with one of this: words find those memories all the same.
redis.call('UNLINK', KEYS[2])
redis.call('VADD', unpack(asked))
return 'anew'
