local record = read()
if record == false then return { CORRUPT } end
-- Where there is no record there is nothing to free, which is what was asked for.
if not record then return { APPLIED } end
if record.token ~= ARGV[1] or record.state == 'd' then return { LOST } end
if record.attempt == 1 then
    redis.call('DEL', key)
else
    -- An earlier attempt may have been executed.
    record.state, record.lease = 'a', math.min(record.lease, now)
    write(record)
end
return { APPLIED }
