local token, print = ARGV[1], ARGV[2]
local lease, retention, takes_over = tonumber(ARGV[3]), tonumber(ARGV[4]), ARGV[5] == '1'
local CLAIMED, HELD, REPLY, ABANDONED, MISMATCH = 3, 4, 5, 6, 7

local record, was_there = read('r')
if record == false then return { CORRUPT } end
if not record then
    if was_there then redis.call('DEL', key) end
    record = {
        state = 'i', attempt = 1, first = now, lease = now + lease, ends = now + lease + retention
    }
    write(record, 'f', print, 't', token)
    return { CLAIMED, 1 }
end
if record.print ~= print then return { MISMATCH } end
if record.state == 'd' then
    if not record.reply then return { CORRUPT } end
    return { REPLY, record.reply }
end
if record.token == token then
    -- A claim that arrives after its own end.
    if record.state == 'a' then return { ABANDONED } end
    hold(record, lease, retention)
    return { CLAIMED, record.attempt }
end
if record.state == 'a' and not takes_over then return { ABANDONED } end
if record.lease > now then return { HELD, record.lease - now } end
if not takes_over then return { ABANDONED } end
record.state, record.lease = 'i', now + lease
record.attempt = math.min(record.attempt + 1, 4294967295)
record.ends = math.max(record.ends, now + lease + retention)
write(record, 't', token)
return { CLAIMED, record.attempt }
