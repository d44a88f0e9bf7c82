-- Purpose: keeps a memory, or adds its source to the one that says the same.
-- KEYS: 1 scopes, 2 the memory, 3 the worths of its scope, 4 its dates, 5 its words, 6 its fingerprints, 7 the memories
--   of its task (any key of the fabric where there is no task: `task` in ARGV is '' then and it is not touched).
-- ARGV: id, scope, now in ms, importance, half-life in ms, fingerprint, a like one or '', source field, source as JSON,
--   task or '', sources that are kept, postings of a word, prefix of memories, prefix of words, content, tags as JSON,
--   kind, then (word, impact)*. A like one is the id of a memory that the caller holds for the same.
-- Returns: {'kept' | 'merged' | 'known', id, how many the scope holds}
-- Atomic: the memory and all that leads to it. Known is what was remembered under this id, or by this source, before.
local call = redis.call
local id, scope, now, importance = ARGV[1], ARGV[2], tonumber(ARGV[3]), tonumber(ARGV[4])
local halfLife, fingerprint, source = tonumber(ARGV[5]), ARGV[6], ARGV[8]

local function answer(how, which) return { how, which, call('ZCARD', KEYS[3]) } end

-- Worth halves with each half-life: so its logarithm falls in a line, and the order never changes by time alone.
local function worth(weight, at) return at + halfLife * math.log(math.max(weight, 0.001)) / math.log(2) end

if call('EXISTS', KEYS[2]) == 1 then return answer('known', id) end

local same = call('HGET', KEYS[6], fingerprint) or ARGV[7]
if same ~= '' then
  local key = ARGV[13] .. same
  local found = call('HMGET', key, 'scope', 'importance', 'used', 'made')
  if found[1] == scope then
    if call('HEXISTS', key, source) == 1 then return answer('known', same) end
    if call('HINCRBY', key, 'times', 1) <= tonumber(ARGV[11]) then
      call('HSET', key, source, ARGV[9])
      if ARGV[10] ~= '' then call('SADD', KEYS[7], same) end
    end
    -- Met again, it matters a little more.
    local weight = math.min(1, math.max(tonumber(found[2]), importance) + 0.05)
    call('HSET', key, 'importance', weight, 'used', now)
    call('ZADD', KEYS[3], worth(weight, now), same)
    return answer('merged', same)
  end
end

call('HSET', KEYS[2], 'scope', scope, 'content', ARGV[15], 'tags', ARGV[16], 'kind', ARGV[17],
  'importance', importance, 'made', now, 'used', now, 'uses', 0, 'times', 1, 'print', fingerprint, source, ARGV[9])
call('ZADD', KEYS[3], worth(importance, now), id)
call('ZADD', KEYS[4], now, id)
call('ZINCRBY', KEYS[1], 1, scope)
call('HSET', KEYS[6], fingerprint, id)
if ARGV[10] ~= '' then call('SADD', KEYS[7], id) end

local most, words, impacts = tonumber(ARGV[12]), {}, {}
for at = 18, #ARGV, 2 do
  local word, key = ARGV[at], ARGV[14] .. ARGV[at]
  words[#words + 1], impacts[#impacts + 1] = word, ARGV[at + 1]
  call('HINCRBY', KEYS[5], word, 1)
  call('ZADD', key, ARGV[at + 1], id)
  local over = call('ZCARD', key) - most
  if over > 0 then call('ZREMRANGEBYRANK', key, 0, over - 1) end
end
call('HSET', KEYS[2], 'words', table.concat(words, ' '), 'impacts', table.concat(impacts, ' '))
return answer('kept', id)
