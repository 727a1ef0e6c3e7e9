local record, answer = own(ARGV[1])
if not record then return { answer } end
if record.state == 'd' then return { LOST } end
if record.state == 'i' then
    record.state, record.ends = 'a', math.max(record.ends, now + tonumber(ARGV[2]))
    write(record)
end
return { APPLIED }
