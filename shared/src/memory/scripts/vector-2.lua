-- Purpose: keeps what an embedding model makes of a memory, where the server has vector sets.
-- KEYS: 1 the memory, 2 the vector set of its scope.
-- ARGV: id, element*.
-- Returns: 'kept'; 'gone' if there is no such memory (any more); 'foreign' if the set is of other dimensions, as after a
--   change of the model; 'absent' if the server knows no vector sets.
-- Atomic: a vector belongs to a memory that is there.
if redis.call('EXISTS', KEYS[1]) == 0 then return 'gone' end
local asked = { KEYS[2], 'VALUES', #ARGV - 1 }
for at = 2, #ARGV do asked[at + 2] = ARGV[at] end
asked[#asked + 1] = ARGV[1]
local said = redis.pcall('VADD', unpack(asked))
if type(said) == 'table' and said.err then
  if string.find(said.err, 'dimension', 1, true) then return 'foreign' end
  if string.find(string.lower(said.err), 'unknown', 1, true) then return 'absent' end
  return redis.error_reply(said.err)
end
return 'kept'
