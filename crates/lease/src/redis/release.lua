local record, answer = own(ARGV[1])
if not record then return { answer } end
record.ends = 0
write(record, tonumber(ARGV[2]))
return { DONE }
