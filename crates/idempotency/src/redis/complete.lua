local record, answer = own(ARGV[1])
if not record then return { answer } end
if record.state ~= 'd' then
    record.state, record.ends = 'd', now + tonumber(ARGV[2])
    write(record, 'r', ARGV[3])
end
return { APPLIED }
