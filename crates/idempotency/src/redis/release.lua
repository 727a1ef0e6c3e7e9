local record = read()
if record == false then return { CORRUPT } end
-- Where there is no record there is nothing to free, which is what was asked for.
if not record then return { APPLIED } end
if record.t ~= ARGV[1] or record.s == DONE then return { LOST } end
if record.a == 1 then
    redis.call('DEL', key)
else
    -- An earlier attempt may have been executed.
    redis.call('HSET', key, 's', ABANDONED, 'l', text(math.min(record.l, now)))
end
return { APPLIED }
