local record = read()
if record == false then return { CORRUPT } end
if not record then return { GONE } end
if record.ends <= now then return { FREE, record.token } end
return { HELD, record.ends - now, record.holder, record.token }
