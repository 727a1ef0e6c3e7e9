-- Whatever is there goes, also what is no record.
local is_hash = redis.call('TYPE', key).ok == 'hash'
local ends = is_hash and number(redis.call('HGET', key, 'e'))
local removed = redis.call('DEL', key)
if removed == 0 or ends and ends <= now then return { LOST } end
return { APPLIED }
