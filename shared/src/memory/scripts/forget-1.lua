#!lua flags=allow-oom
-- Purpose: forgets memories, with all that leads to them.
-- KEYS: 1 scopes.
-- ARGV: prefix of all memory keys, at most so many, then which:
--   'ids' id*  |  'over' scope limit (what is worth least, until no more than the limit is left)  |
--   'below' scope worth (what is worth less)  |  'task' task (its part in them; what has no other source goes)  |
--   'scope' scope (all of it)
-- Returns: {how many went, how many had to stay for now}
-- Atomic: each memory with its words, dates and fingerprint. It needs no memory, so it works at maxmemory.
local call = redis.call
local prefix, most, how, what = ARGV[1], tonumber(ARGV[2]), ARGV[3], ARGV[4]
local function key(part, name) return prefix .. part .. ':' .. name end

local function forget(id)
  local item = key('item', id)
  local fields = call('HGETALL', item)
  if #fields == 0 then return 0 end
  local memory = {}
  for at = 1, #fields, 2 do
    local name = fields[at]
    memory[name] = fields[at + 1]
    local task = string.match(name, '^from:([^:]+):')
    if task then call('SREM', key('task', task), id) end
  end
  local scope = memory.scope
  local counts, same, vectors = key('words', scope), key('same', scope), key('vectors', scope)
  for word in string.gmatch(memory.words or '', '%S+') do
    call('ZREM', key('word', scope .. ':' .. word), id)
    if call('HINCRBY', counts, word, -1) <= 0 then call('HDEL', counts, word) end
  end
  call('ZREM', key('worth', scope), id)
  call('ZREM', key('dates', scope), id)
  if call('HGET', same, memory.print) == id then call('HDEL', same, memory.print) end
  if call('EXISTS', vectors) == 1 then call('VREM', vectors, id) end
  if tonumber(call('ZINCRBY', KEYS[1], -1, scope)) <= 0 then call('ZREM', KEYS[1], scope) end
  call('UNLINK', item)
  return 1
end

-- Takes the sources of a task from a memory; true if none is left.
local function disown(id, task)
  local left = 0
  for _, name in ipairs(call('HKEYS', key('item', id))) do
    local from = string.match(name, '^from:([^:]*):')
    if from == task then call('HDEL', key('item', id), name)
    elseif from then left = left + 1 end
  end
  return left == 0
end

local ids, left = {}, 0
if how == 'ids' then
  for at = 4, #ARGV do ids[#ids + 1] = ARGV[at] end
elseif how == 'over' then
  left = math.max(0, call('ZCARD', key('worth', what)) - tonumber(ARGV[5]))
  if left > 0 then ids = call('ZRANGE', key('worth', what), 0, math.min(left, most) - 1) end
elseif how == 'below' then
  left = call('ZCOUNT', key('worth', what), '-inf', '(' .. ARGV[5])
  ids = call('ZRANGE', key('worth', what), '-inf', '(' .. ARGV[5], 'BYSCORE', 'LIMIT', 0, most)
elseif how == 'scope' then
  left = call('ZCARD', key('worth', what))
  ids = call('ZRANGE', key('worth', what), 0, most - 1)
elseif how == 'task' then
  local all = call('SMEMBERS', key('task', what))
  left = #all
  for at = 1, math.min(most, #all) do
    local id = all[at]
    if disown(id, what) then ids[#ids + 1] = id else left = left - 1 end
    call('SREM', key('task', what), id)
  end
end
local went = 0
for _, id in ipairs(ids) do went = went + forget(id) end
return { went, math.max(0, left - #ids) }
