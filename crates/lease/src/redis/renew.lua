local record, answer = own(ARGV[1])
if not record then return { answer } end
record.ends = math.max(record.ends, now + record.ttl)
write(record, tonumber(ARGV[2]))
return { DONE, record.ttl }
