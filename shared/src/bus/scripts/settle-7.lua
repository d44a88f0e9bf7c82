#!lua flags=allow-oom
-- Purpose: ends deliveries: follow-ups, ledger, park or dead letter, acknowledgement; each entry all or nothing.
-- KEYS: 1 control, 2 journal, 3 parked, 4 due, 5 dead letters, 6 their order, 7 deaths. Inboxes and ledger
--   documents are named in ARGV: one slot.
-- ARGV: group, consumer, journal length, number of sets; then for each set of entries that have these in common:
--   inbox, epoch or '' where any will do, deliveries; the ids of those that only end, with spaces between, or '';
--   their journal lines, a line each; number of all other entries; then for each of these:
--   id, journal line or '', end, and what belongs to it:
--   end:   'done' | 'keep' | 'saved' | 'nobody' | 'park' id json delay | 'dead' id json | 'more' end (one of the
--          first four). 'saved' is as 'keep', and what it saved is new: the deaths of its entry are forgotten.
--   after 'more', 'park' and 'dead':
--   number of writes, writes*, number of messages,
--   (inbox, json, text for the journal or '', '' or delay in ms .. ' ' .. id)*
--   write: 'patch' key revision fields (name, value)* deletions name* | 'remove' key | 'index' key member score |
--          'unindex' key member | 'count' key field by seconds | 'unset' key field
-- Returns: for each set 'ok' if all that only end have ended, else a list of what became of each; then for each of
--   its other entries in turn 'ok', 'lost', 'epoch', 'moved', 'twice' or 'type ' .. key.
-- Atomic: first all checks of all entries, then the writes of those that passed, which cannot fail: Lua does not
--   roll back (rule 9). Never use a command below the line that can meet a wrong type unchecked above it.
local call = redis.call
local group, consumer = ARGV[1], ARGV[2]
local results, plans, planned = {}, {}, 0
local types, revisions = {}, {}
local journal, said, ended, ends = {}, 0, {}, 0

local function typed(key, wanted)
  local found = types[key]
  if not found then
    found = call('TYPE', key).ok
    if found == 'none' then found = wanted end
    types[key] = found
  end
  return found == wanted
end

-- The fixed keys that an entry needs, by number; the first that has the wrong type is its result.
local kinds = { 'hash', 'stream', 'hash', 'zset', 'hash', 'zset', 'hash' }
local function unfit(from, to)
  for n = from, to do
    if not typed(KEYS[n], kinds[n]) then return 'type ' .. KEYS[n] end
  end
end

local wants = { index = 'zset', unindex = 'zset', count = 'hash', unset = 'hash' }
local sizes = { remove = 2, index = 4, unindex = 3, count = 5, unset = 3 }

-- Reads one write; returns where the next one begins.
local function after(at)
  if ARGV[at] ~= 'patch' then return at + sizes[ARGV[at]] end
  local names = at + 4 + 2 * tonumber(ARGV[at + 3])
  return names + 1 + tonumber(ARGV[names])
end

local broken = unfit(1, 2) or unfit(7, 7)
local epoch = not broken and call('HGET', KEYS[1], 'epoch') or '0'
local holds = {}

-- What this consumer holds of an inbox, by id; an entry that one look does not show is asked for by itself.
local function heldFrom(inbox, id, many)
  local held = holds[inbox]
  if not held then
    held = {}
    holds[inbox] = held
  end
  if many > 1 then
    local rows = call('XPENDING', inbox, group, id, '+', many, consumer)
    for r = 1, #rows do held[rows[r][1]] = held[rows[r][1]] or rows[r][4] end
  end
  return held
end

-- Why an entry may not be settled by whoever asks, or nothing.
local function refusal(id, inbox, held, wanted, deliveries)
  local count = held[id]
  if count == nil then
    local row = call('XPENDING', inbox, group, id, id, 1)[1]
    count = row and row[2] == consumer and row[4]
  end
  if broken then
    return broken
  elseif count == 'settled' then
    return 'twice'
  elseif count ~= deliveries then
    return 'lost'
  elseif wanted ~= '' and wanted ~= epoch then
    return 'epoch'
  end
end

-- To be acknowledged and deleted, together with the others of its inbox.
local function over(inbox, id)
  local ids = ended[inbox]
  if not ids then
    ids = { n = 0 }
    ended[inbox] = ids
  end
  ids.n = ids.n + 1
  ids[ids.n] = id
  ends = ends + 1
end

local function tell(kind, text)
  journal[said + 1], journal[said + 2] = kind, text
  said = said + 2
end

-- Checks the entries that only end; returns 'ok', or what became of each.
local function checkPlain(ids, lines, inbox, held, wanted, deliveries)
  local each, n, refused = {}, 0, false
  for id in string.gmatch(ids, '%S+') do
    local result = refusal(id, inbox, held, wanted, deliveries)
    if result then
      refused = true
    else
      held[id] = 'settled'
      over(inbox, id)
    end
    n = n + 1
    each[n] = result or 'ok'
  end
  if not refused then
    if n > 0 then tell('s', lines) end
    return 'ok'
  end
  n = 0
  for line in string.gmatch(lines, '[^\n]+') do
    n = n + 1
    if each[n] == 'ok' then tell('s', line) end
  end
  return each
end

-- Checks the entry at `at`, and plans it if it may be written; returns its result and where the next one begins.
local function check(at, inbox, held, wanted, deliveries)
  local id, line, ending = ARGV[at], ARGV[at + 1], ARGV[at + 2]
  local result = refusal(id, inbox, held, wanted, deliveries)
  at = at + 3
  local plan = { inbox, id, line, ending }
  if ending ~= 'done' and ending ~= 'keep' and ending ~= 'saved' and ending ~= 'nobody' then
    if ending == 'more' then
      plan[4] = ARGV[at]
      at = at + 1
    elseif ending == 'park' then
      result = result or unfit(3, 4)
      plan.ref, plan.json, plan.delay = ARGV[at], ARGV[at + 1], ARGV[at + 2]
      at = at + 3
    else
      result = result or unfit(5, 6)
      plan.ref, plan.json = ARGV[at], ARGV[at + 1]
      at = at + 2
    end
    local writes, fresh = {}, {}
    local many = tonumber(ARGV[at])
    at = at + 1
    for w = 1, many do
      local op, key = ARGV[at], ARGV[at + 1]
      writes[w] = at
      if not result then
        if wants[op] and not typed(key, wants[op]) then
          result = 'type ' .. key
        elseif op == 'patch' then
          local stands = fresh[key] or revisions[key]
          -- A key that is not there yet is what the first write of the batch makes of it.
          if not stands and (types[key] or 'hash') == 'hash' then
            -- It also says whether the key is a hash: one call less for nearly every write.
            local found = redis.pcall('HGET', key, 'revision')
            stands = type(found) ~= 'table' and tonumber(found or '0')
            if stands then types[key] = 'hash' end
          end
          if not stands then
            result = 'type ' .. key
          else
            if stands ~= tonumber(ARGV[at + 2]) then result = 'moved' else fresh[key] = stands + 1 end
          end
        end
      end
      at = after(at)
    end
    plan.writes, plan.messages, plan.first = writes, tonumber(ARGV[at]), at + 1
    for m = 0, plan.messages - 1 do
      local to, delayed = ARGV[at + 1 + 4 * m], ARGV[at + 4 + 4 * m]
      if not result and not typed(to, 'stream') then result = 'type ' .. to end
      if not result and delayed ~= '' then result = unfit(3, 4) end
    end
    at = at + 1 + 4 * plan.messages
    if not result then
      for key, revision in pairs(fresh) do revisions[key] = revision end
    end
  end
  if not result then
    held[id] = 'settled'
    planned = planned + 1
    plans[planned] = plan
  end
  return result or 'ok', at
end

local at, n = 5, 0
for _ = 1, tonumber(ARGV[4]) do
  local inbox, wanted, deliveries = ARGV[at], ARGV[at + 1], tonumber(ARGV[at + 2])
  local ids, lines, others = ARGV[at + 3], ARGV[at + 4], tonumber(ARGV[at + 5])
  at = at + 6
  local _, plain = string.gsub(ids, ' ', ' ')
  local held = heldFrom(inbox, string.match(ids, '^%S+') or ARGV[at], plain + 1 + others)
  n = n + 1
  results[n] = checkPlain(ids, lines, inbox, held, wanted, deliveries)
  for _ = 1, others do
    n = n + 1
    results[n], at = check(at, inbox, held, wanted, deliveries)
  end
end
if planned + ends == 0 then return results end

------------------------------------------------------------------- everything is checked; now it is written
local time = call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local deaths = call('HLEN', KEYS[7]) > 0

-- Lua passes some thousand values to a command at most.
local function pieces(list, first, last, put)
  for from = first, last, 2000 do put(unpack(list, from, math.min(last, from + 1999))) end
end

local function write(from)
  local op, key = ARGV[from], ARGV[from + 1]
  if op == 'patch' then
    local names = from + 4 + 2 * tonumber(ARGV[from + 3])
    local first, last = from + 4, math.min(names - 1, from + 2003)
    call('HSET', key, 'revision', ARGV[from + 2] + 1, unpack(ARGV, first, last))
    pieces(ARGV, last + 1, names - 1, function(...) call('HSET', key, ...) end)
    for d = 1, tonumber(ARGV[names]) do call('HDEL', key, ARGV[names + d]) end
  elseif op == 'remove' then
    call('UNLINK', key)
  elseif op == 'index' then
    call('ZADD', key, ARGV[from + 3], ARGV[from + 2])
  elseif op == 'unindex' then
    call('ZREM', key, ARGV[from + 2])
  elseif op == 'count' then
    local value = call('HINCRBY', key, ARGV[from + 2], ARGV[from + 3])
    if value == 0 then call('HDEL', key, ARGV[from + 2]) end
    if ARGV[from + 4] ~= '0' then call('EXPIRE', key, ARGV[from + 4]) end
  elseif op == 'unset' then
    call('HDEL', key, ARGV[from + 2])
  end
end

local function publish(from)
  local to, json, short = ARGV[from], ARGV[from + 1], ARGV[from + 2]
  if ARGV[from + 3] == '' then
    call('XADD', to, '*', 'm', json)
  else
    local delay, id = string.match(ARGV[from + 3], '^(%d+) (.*)$')
    call('HSET', KEYS[3], id, to .. ' ' .. json)
    call('ZADD', KEYS[4], now + delay, id)
  end
  tell('p', short == '' and json or short)
end

if deaths then
  for inbox, ids in pairs(ended) do
    for i = 1, ids.n do call('HDEL', KEYS[7], inbox .. '|' .. ids[i], inbox .. '|' .. ids[i] .. '|alone') end
  end
end

for p = 1, planned do
  local plan = plans[p]
  local inbox, id, line, ending = plan[1], plan[2], plan[3], plan[4]
  if plan.writes then
    for w = 1, #plan.writes do write(plan.writes[w]) end
    for m = 0, plan.messages - 1 do publish(plan.first + 4 * m) end
  end
  if line ~= '' then tell('s', line) end
  -- Ids that people give may come twice: the second must not take the place of the first.
  local taken = ending == 'park' and KEYS[3] or ending == 'dead' and KEYS[5]
  if taken and call('HEXISTS', taken, plan.ref) == 1 then plan.ref = plan.ref .. '~' .. id end
  if ending == 'park' then
    call('HSET', KEYS[3], plan.ref, inbox .. ' ' .. plan.json)
    call('ZADD', KEYS[4], now + plan.delay, plan.ref)
  elseif ending == 'dead' then
    call('HSET', KEYS[5], plan.ref, plan.json)
    call('ZADD', KEYS[6], now, plan.ref)
  elseif ending == 'nobody' then
    call('XCLAIM', inbox, group, 'nobody', 0, id, 'JUSTID')
    if deaths then call('HDEL', KEYS[7], inbox .. '|' .. id .. '|alone') end
  end
  if ending ~= 'keep' and ending ~= 'saved' and ending ~= 'nobody' then over(inbox, id) end
  if deaths and ending ~= 'keep' and ending ~= 'nobody' then
    call('HDEL', KEYS[7], inbox .. '|' .. id, inbox .. '|' .. id .. '|alone')
  end
end
for inbox, ids in pairs(ended) do
  call('XACK', inbox, group, unpack(ids, 1, ids.n))
  call('XDEL', inbox, unpack(ids, 1, ids.n))
end
pieces(journal, 1, said, function(...) call('XADD', KEYS[2], 'MAXLEN', '~', ARGV[3], '*', ...) end)
return results
