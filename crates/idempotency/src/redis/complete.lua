local record, answer = own(ARGV[1])
if not record then return { answer } end
if record.s ~= DONE then
    record.e = now + tonumber(ARGV[2])
    redis.call('HSET', key, 's', DONE, 'e', text(record.e), 'r', ARGV[3])
    expire(record)
end
return { APPLIED }
