local record, answer = own(ARGV[1])
if not record then return { answer } end
if record.s == DONE then return { LOST } end
if record.s == IN_FLIGHT then
    record.e = math.max(record.e, now + tonumber(ARGV[2]))
    redis.call('HSET', key, 's', ABANDONED, 'e', text(record.e))
    expire(record)
end
return { APPLIED }
