local nonce, holder, ttl = ARGV[1], ARGV[2], tonumber(ARGV[3])
-- The floor is -1 where there is none.
local floor, retention = tonumber(ARGV[4]), tonumber(ARGV[5])

local record = read()
if record == false then return { CORRUPT } end
local ends, token = now + ttl, nil
if record and record.ends > now then
    if record.nonce ~= nonce then
        return { HELD, record.ends - now, record.holder, record.token }
    end
    -- The same grant again: for no less than its holder may count on.
    token, ends = record.token, math.max(ends, record.ends)
else
    local last = record and record.token or -1
    token = math.max(last + 1, floor + 1, now)
    if token >= WHOLE then return { SPENT, math.max(last, floor) } end
end
write({ token = token, ends = ends, ttl = ttl }, retention, 'n', nonce, 'o', holder)
return { DONE, token, ttl }
