-- The record of one key is a hash. Numbers are decimal; times are microseconds of the server's clock.
--
--   s  the version of this layout, 1, and the state: i in flight, a abandoned, d done
--   f  fingerprint    t  token of the claim that holds it, or held it last    a  attempt
--   c  first claimed  l  end of the lease    e  end of the record             r  reply, once done
--
-- The key expires by itself no earlier than the record.
local IN_FLIGHT, ABANDONED, DONE = '1i', '1a', '1d'
-- What scripts answer with: `answer.rs` reads it.
local LOST, APPLIED, CORRUPT = 0, 1, 2

local key = KEYS[1]
local clock = redis.call('TIME')
local now = clock[1] * 1000000 + clock[2]

-- Whole numbers of a double.
local function number(text)
    if text and string.find(text, '^%d+$') then
        local value = tonumber(text)
        return value < 9007199254740992 and value
    end
end

local function text(value)
    return string.format('%.0f', value)
end

local function expire(record)
    redis.call('PEXPIREAT', key, text(math.ceil(record.e / 1000)))
end

-- The record, nil where there is none, or false where there is something else. One that has expired
-- is none; the second result says that it is there.
local function read()
    local h = redis.call('HMGET', key, 's', 'f', 't', 'a', 'c', 'l', 'e', 'r')
    local s, f, t, r = h[1], h[2], h[3], h[8]
    local a, c, l, e = number(h[4]), number(h[5]), number(h[6]), number(h[7])
    if not s then
        if redis.call('EXISTS', key) == 0 then return nil, false end
        return false
    end
    local is_sound = f and #f == 32 and t and #t == 16 and a and a > 0 and a < 4294967296 and c and l
        and e and (s == IN_FLIGHT or s == ABANDONED or (s == DONE and r))
    if not is_sound then return false end
    if e <= now then return nil, true end
    return { s = s, f = f, t = t, a = a, c = c, l = l, e = e, r = r }
end

-- The record, if it is that of the claim, and otherwise what is to be answered.
local function own(token)
    local record = read()
    if record == false then return nil, CORRUPT end
    if not record or record.t ~= token then return nil, LOST end
    return record
end

-- Never earlier than it was: of two renewals the longer holds.
local function hold(record, lease, retention)
    record.l = math.max(record.l, now + lease)
    record.e = math.max(record.e, now + lease + retention)
    redis.call('HSET', key, 'l', text(record.l), 'e', text(record.e))
    expire(record)
end
