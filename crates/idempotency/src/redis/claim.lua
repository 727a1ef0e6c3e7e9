local token, print = ARGV[1], ARGV[2]
local lease, retention, takes_over = tonumber(ARGV[3]), tonumber(ARGV[4]), ARGV[5] == '1'
local CLAIMED, HELD, REPLY, ABANDONED_BY_OWNER, MISMATCH = 3, 4, 5, 6, 7

local record, was_there = read()
if record == false then return { CORRUPT } end
if not record then
    record = { a = 1, e = now + lease + retention }
    if was_there then redis.call('DEL', key) end
    redis.call('HSET', key, 's', IN_FLIGHT, 'f', print, 't', token, 'a', 1, 'c', text(now),
        'l', text(now + lease), 'e', text(record.e))
    expire(record)
    return { CLAIMED, 1 }
end
if record.f ~= print then return { MISMATCH } end
if record.s == DONE then return { REPLY, record.r } end
if record.t == token then
    -- A claim that arrives after its own end.
    if record.s == ABANDONED then return { ABANDONED_BY_OWNER } end
    hold(record, lease, retention)
    return { CLAIMED, record.a }
end
if record.s == ABANDONED and not takes_over then return { ABANDONED_BY_OWNER } end
if record.l > now then return { HELD, record.l - now } end
if not takes_over then return { ABANDONED_BY_OWNER } end
record.a = math.min(record.a + 1, 4294967295)
record.e = math.max(record.e, now + lease + retention)
redis.call('HSET', key, 's', IN_FLIGHT, 't', token, 'a', record.a, 'l', text(now + lease),
    'e', text(record.e))
expire(record)
return { CLAIMED, record.a }
