-- The record of one key is a hash:
--
--   h  its head, as `pattern` reads it: the version of this layout, 1; the state, i in flight,
--      a abandoned, d done; the attempt; when it was first claimed; the end of its lease; its end
--   f  fingerprint    t  token of the claim that holds it, or held it last    r  reply, once done
--
-- Times are microseconds of the server's clock. The key expires by itself no earlier than the
-- record. All numbers are in one field, because the server does nothing else while a script runs.
local pattern = '^1([iad]) (%d+) (%d+) (%d+) (%d+)$'
-- What scripts answer with: `answer.rs` reads it.
local LOST, APPLIED, CORRUPT = 0, 1, 2
-- Doubles are whole below it.
local WHOLE = 9007199254740992

local key = KEYS[1]
local clock = redis.call('TIME')
local now = clock[1] * 1000000 + clock[2]

-- The record, nil where there is none, or false where there is something else. One that has expired
-- is none; the second result says that it is there.
local function read(...)
    local h = redis.call('HMGET', key, 'h', 'f', 't', ...)
    local head, print, token = h[1], h[2], h[3]
    if not head then
        if redis.call('EXISTS', key) == 0 then return nil, false end
        return false
    end
    local state, attempt, first, lease, ends = string.match(head, pattern)
    if not state then return false end
    local record = {
        state = state, print = print, token = token, reply = h[4], attempt = tonumber(attempt),
        first = tonumber(first), lease = tonumber(lease), ends = tonumber(ends)
    }
    local is_sound = record.attempt > 0 and record.attempt < 4294967296 and record.first < WHOLE
        and record.lease < WHOLE and record.ends < WHOLE
        and print and #print == 32 and token and #token == 16
    if not is_sound then return false end
    if record.ends <= now then return nil, true end
    return record
end

-- The record, if it is that of the claim, and otherwise what is to be answered.
local function own(token)
    local record = read()
    if record == false then return nil, CORRUPT end
    if not record or record.token ~= token then return nil, LOST end
    return record
end

-- Writes the head, and whatever fields come with it.
local function write(record, ...)
    local head = string.format('1%s %.0f %.0f %.0f %.0f', record.state, record.attempt,
        record.first, record.lease, record.ends)
    redis.call('HSET', key, 'h', head, ...)
    redis.call('PEXPIREAT', key, string.format('%.0f', math.ceil(record.ends / 1000)))
end

-- Never earlier than it was: of two renewals the longer holds.
local function hold(record, lease, retention)
    record.lease = math.max(record.lease, now + lease)
    record.ends = math.max(record.ends, now + lease + retention)
    write(record)
end
