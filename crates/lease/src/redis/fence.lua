-- The fence of a resource: KEYS[1] is its mark, ARGV[1] the token of the call and ARGV[2] the
-- number of the call, empty if calls are not numbered. It raises the mark, or ends the script by an
-- error. A mark is a token, or a token and a number: digits, which doubles would round.
do
    local token, number = ARGV[1], ARGV[2]
    local function is_number(text)
        return text and #text < 21 and string.find(text, '^[1-9]%d*$') or text == '0'
    end
    local function is_less(one, other)
        return #one < #other or #one == #other and one < other
    end
    if not is_number(token) or number ~= '' and not is_number(number) then
        return redis.error_reply('FENCEMALFORMED the token or the number is none')
    end
    local mark = redis.call('GET', KEYS[1])
    local highest, last
    if mark then
        highest, last = string.match(mark, '^(%d+) ?(%d*)$')
        if not highest then return redis.error_reply('FENCECORRUPT the mark is none') end
    end
    if mark and is_less(token, highest) then
        return redis.error_reply('FENCESTALE ' .. highest)
    end
    if mark and token == highest then
        if last ~= '' and (number == '' or not is_less(last, number)) then
            return redis.error_reply('FENCEOUTOFORDER ' .. last)
        end
    else
        -- Seconds of the clock and a day, in microseconds.
        local most = string.format('%.0f', redis.call('TIME')[1] + 86400) .. '000000'
        if is_less(most, token) then return redis.error_reply('FENCEAHEAD ' .. most) end
    end
    local raised = number == '' and token or token .. ' ' .. number
    if raised ~= mark then redis.call('SET', KEYS[1], raised) end
end
