-- The record of one name is a hash:
--
--   h  its head, as `pattern` reads it: the version of this layout, 1; the last token; the end of
--      its grant, 0 once that is released; the TTL of its grant
--   n  the nonce of its grant    o  what its holder is called
--
-- Times are microseconds of the server's clock. The key expires by itself once the name has not
-- been held for the retention.
local pattern = '^1 (%d+) (%d+) (%d+)$'
-- What scripts answer with: `answer.rs` reads it.
local GONE, DONE, CORRUPT, HELD, TAKEN, FREE, SPENT = 0, 1, 2, 3, 4, 5, 6
-- Doubles are whole below it, and the longest TTL is a quarter of it.
local WHOLE = 9007199254740992

local key = KEYS[1]
local clock = redis.call('TIME')
local now = clock[1] * 1000000 + clock[2]

-- The record, nil where there is none, or false where there is something else.
local function read()
    local h = redis.call('HMGET', key, 'h', 'n', 'o')
    local head, nonce, holder = h[1], h[2], h[3]
    if not head then
        if redis.call('EXISTS', key) == 0 then return nil end
        return false
    end
    local token, ends, ttl = string.match(head, pattern)
    if not token then return false end
    local record = {
        token = tonumber(token), ends = tonumber(ends), ttl = tonumber(ttl),
        nonce = nonce, holder = holder
    }
    local is_sound = record.token < WHOLE and record.ends < WHOLE and record.ttl <= WHOLE / 4
        and nonce and #nonce == 16 and holder and #holder < 256
    return is_sound and record
end

-- The record, if it is held under the nonce, and otherwise what is to be answered.
local function own(nonce)
    local record = read()
    if record == false then return nil, CORRUPT end
    if not record or record.ends <= now then return nil, GONE end
    if record.nonce ~= nonce then return nil, TAKEN end
    return record
end

-- Writes the head, and whatever fields come with it.
local function write(record, retention, ...)
    local head = string.format('1 %.0f %.0f %.0f', record.token, record.ends, record.ttl)
    redis.call('HSET', key, 'h', head, ...)
    local idle_from = math.max(record.ends, now)
    local forgotten_at = math.ceil((idle_from + retention) / 1000)
    redis.call('PEXPIREAT', key, string.format('%.0f', forgotten_at))
end
