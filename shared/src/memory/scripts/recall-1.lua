-- Purpose: finds the memories of some scopes that a text is about, by the words that they share with it.
-- KEYS: 1 scopes.
-- ARGV: prefix of all memory keys, how many of each scope, how many entries of the index may be read in a scope, number
--   of scopes, scope*, number of tags, tag*, number of ids that are wanted as well, (scope, id)*, then (word, weight)*.
-- Returns: for each memory found {id, score, share of the question's weight that it answers, words shared, fields*}.
-- Reads postings in the order of impact, the rarest words first, until its budget is used; then the scores of the best
--   are completed from the lists that were not read to their end. So where a scope is small the order is that of BM25,
--   and where it is huge the time is bounded and only the weakest contributions of common words can be missed.
local call = redis.call
local prefix, most, budget = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3])
local function key(part, name) return prefix .. part .. ':' .. name end

local at = 4
local function list(width)
  local items, many = {}, tonumber(ARGV[at]) * width
  for n = 1, many do items[n] = ARGV[at + n] end
  at = at + 1 + many
  return items
end
local scopes, tags, also = list(1), list(1), list(2)
local words, weights = {}, {}
for n = at, #ARGV, 2 do words[#words + 1], weights[#weights + 1] = ARGV[n], tonumber(ARGV[n + 1]) end

-- In a small scope every word is in most memories, which says nothing of how common it is: so many memories that hold
-- none of the words are thought of beside those that there are.
local background = 50

-- What more words than that add is less than what the rare ones say.
local termsMax = 24

-- How rare each word is in a scope, the weightiest first; and the weight of the whole question.
local function termsOf(scope, total)
  local terms, whole = {}, 0
  local counts = #words > 0 and call('HMGET', key('words', scope), unpack(words)) or {}
  for n = 1, #words do
    local held = tonumber(counts[n] or '0') or 0
    local rarity = math.log(1 + (background + total - held + 0.5) / (held + 0.5)) * weights[n]
    if held > 0 then
      terms[#terms + 1] = { key = key('word', scope .. ':' .. words[n]), rarity = rarity }
    else
      whole = whole + rarity
    end
  end
  table.sort(terms, function(one, other) return one.rarity > other.rarity end)
  for n = #terms, termsMax + 1, -1 do terms[n] = nil end
  for _, term in ipairs(terms) do whole = whole + term.rarity end
  return terms, whole
end

-- Adds the top of a list to the scores; returns how many entries that took. At the top impacts are much alike: how
-- rare the word is decides who is looked at, and `complete` reads the impacts of those alone.
local function read(term, scores, countMax)
  local ids = call('ZRANGE', term.key, 0, countMax - 1, 'REV')
  for n = 1, #ids do scores[ids[n]] = (scores[ids[n]] or 0) + term.rarity end
  return #ids
end

local candidatesMax = math.max(48, 2 * most)

local function candidates(scope, terms, wanted)
  local scores, left = {}, budget
  for _, id in ipairs(wanted) do scores[id] = 0 end
  if #tags > 0 then
    -- Who bears one of the tags, and nobody else.
    local bearing = {}
    for _, tag in ipairs(tags) do
      local tagged = call('ZRANGE', key('word', scope .. ':#' .. tag), 0, budget - 1, 'REV')
      for _, id in ipairs(tagged) do bearing[id] = 0 end
    end
    scores = bearing
  end
  for n, term in ipairs(terms) do
    if left <= 0 then break end
    if #tags == 0 then
      -- No word may use up what others need.
      left = left - read(term, scores, math.max(16, math.floor(left / math.min(4, #terms - n + 1))))
    end
  end
  local ids = {}
  for id in pairs(scores) do ids[#ids + 1] = id end
  return ids, scores
end

-- The best of the ids, in order. A heap of those that are best so far, the worst of them at its top: to sort all would
-- take longer than all else.
local function best(ids, scores, countMax)
  local heap, size = {}, 0
  local function worse(one, other)
    local a, b = scores[one], scores[other]
    return a < b or (a == b and one > other)
  end
  for n = 1, #ids do
    local id = ids[n]
    if size < countMax then
      size = size + 1
      local at = size
      while at > 1 do
        local up = math.floor(at / 2)
        if not worse(id, heap[up]) then break end
        heap[at], at = heap[up], up
      end
      heap[at] = id
    elseif size > 0 and worse(heap[1], id) then
      local at = 1
      while true do
        local down = 2 * at
        if down > size then break end
        if down < size and worse(heap[down + 1], heap[down]) then down = down + 1 end
        if not worse(heap[down], id) then break end
        heap[at], at = heap[down], down
      end
      heap[at] = id
    end
  end
  table.sort(heap, function(one, other) return worse(other, one) end)
  return heap
end

-- The scores of the candidates from every list, also from what was not read of it.
local function complete(ids, terms)
  local scores, shared, answered = {}, {}, {}
  for _, id in ipairs(ids) do scores[id], shared[id], answered[id] = 0, 0, 0 end
  for _, term in ipairs(terms) do
    for from = 1, #ids, 2000 do
      local upTo = math.min(#ids, from + 1999)
      local impacts = call('ZMSCORE', term.key, unpack(ids, from, upTo))
      for n = from, upTo do
        local impact, id = impacts[n - from + 1], ids[n]
        if impact then
          scores[id] = scores[id] + term.rarity * impact / 100
          shared[id] = shared[id] + 1
          answered[id] = answered[id] + term.rarity
        end
      end
    end
  end
  return scores, shared, answered
end

local answer = {}
for _, scope in ipairs(scopes) do
  local total = tonumber(call('ZSCORE', KEYS[1], scope) or '0')
  local wanted, returned = {}, {}
  for n = 1, #also, 2 do if also[n] == scope then wanted[#wanted + 1] = also[n + 1] end end
  if total > 0 then
    local terms, whole = termsOf(scope, total)
    local ids, scores = candidates(scope, terms, wanted)
    ids = best(ids, scores, #tags > 0 and budget or candidatesMax)
    for _, id in ipairs(wanted) do if not scores[id] or scores[id] == 0 then ids[#ids + 1] = id end end
    local full, shared, answered = complete(ids, terms)
    ids = best(ids, full, most)
    for _, id in ipairs(wanted) do ids[#ids + 1] = id end
    for _, id in ipairs(ids) do
      local fields = not returned[id] and call('HGETALL', key('item', id)) or {}
      returned[id] = true
      if #fields > 0 then
        local share = whole > 0 and answered[id] / whole or 0
        answer[#answer + 1] = { id, tostring(full[id]), tostring(share), shared[id], fields }
      end
    end
  end
end
return answer
