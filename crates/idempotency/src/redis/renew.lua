local record, answer = own(ARGV[1])
if not record then return { answer } end
if record.state ~= 'i' then return { LOST } end
hold(record, tonumber(ARGV[2]), tonumber(ARGV[3]))
return { APPLIED }
