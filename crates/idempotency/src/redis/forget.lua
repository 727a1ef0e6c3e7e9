-- Whatever is there goes, also what is no record.
local is_hash = redis.call('TYPE', key).ok == 'hash'
local record, has_expired = nil, false
if is_hash then record, has_expired = read() end
if redis.call('DEL', key) == 0 or has_expired then return { LOST } end
return { APPLIED }
