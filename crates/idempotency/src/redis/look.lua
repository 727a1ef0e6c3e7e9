local record = read()
if record == false then return { CORRUPT } end
if not record then return { LOST } end
local answer = { APPLIED, record.a, record.f, now - record.c, record.e - now, record.s }
if record.s == DONE then answer[7] = record.r else answer[7] = math.max(record.l - now, 0) end
return answer
