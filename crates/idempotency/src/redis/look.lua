local record = read('r')
if record == false then return { CORRUPT } end
if not record then return { LOST } end
local rest = math.max(record.lease - now, 0)
if record.state == 'd' then
    rest = record.reply
    if not rest then return { CORRUPT } end
end
local age, left = now - record.first, record.ends - now
return { APPLIED, record.attempt, record.print, age, left, record.state, rest }
