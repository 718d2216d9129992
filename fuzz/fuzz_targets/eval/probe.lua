local seen, found = {}, {}
local function look(path, value)
  found[#found + 1] = path .. ' ' .. type(value)
  if type(value) ~= 'table' then
    if type(value) ~= 'function' and type(value) ~= 'userdata' then
      found[#found + 1] = tostring(value)
    end
  elseif not seen[value] then
    seen[value] = true
    -- In an order, since a table with two names is looked at under the first one only.
    local names = {}
    for key in pairs(value) do names[#names + 1] = tostring(key) end
    table.sort(names)
    for _, name in ipairs(names) do look(path .. '.' .. name, value[name] or value[tonumber(name)]) end
  end
end
look('_G', _G)
look('metatable', getmetatable(''))
look('mt', getmetatable(cjson.decode('[]')) or {})
table.sort(found)
local x <const> = 10
found[#found + 1] = x / 2 .. ('%d'):format(7) .. tostring(('').x) .. tostring(rawget(_G, 'x')) .. #KEYS .. #ARGV
found[#found + 1] = cjson.encode({{0.1234567890123456789}, cjson.decode('[[], 1.0, null]')})
found[#found + 1] = tostring(pcall(cjson.encode, {[100] = 1})) .. tostring(pcall(cjson.encode, 1 / 0))
found[#found + 1] = tostring(cjson.encode_max_depth()) .. tostring(cjson.decode_max_depth())
found[#found + 1] = tostring(cjson.encode_keep_buffer()) .. tostring(cjson.encode_number_precision())
found[#found + 1] = tostring(select(2, pcall(function() return x() end)))
found[#found + 1] = type(redis.call('GET', KEYS[1])) .. tostring(pcall(redis.savepoint))
found[#found + 1] = tostring(coroutine.running() == nil) .. string.rep('ab', 3, ',') .. ('x1'):gsub('%d', '<%0>')
return table.concat(found, '\n')
