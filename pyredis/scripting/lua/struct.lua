-- The `struct` library: see `structs.py`, which does the work. A problem comes back marked.

local box = ...
local host, error, select, unpack = box.host, error, select, unpack

local function checked(mark, ...)
  if mark == nil then error((...), 3) end
  return mark, ...
end

local function operation(name)
  local work = host["struct_" .. name]
  return function(...)
    local results = {checked(work(...))}
    return unpack(results)
  end
end

local host_pack = host.struct_pack

local function pack(...)
  local values, count = {...}, select("#", ...)
  for at = 2, count do
    -- On the way to Python a number that is whole becomes an integer, which has no -0.
    if values[at] == 0 and 1 / values[at] < 0 then values[at] = "-0" end
  end
  local packed = checked(host_pack(unpack(values, 1, count)))
  return packed
end

return {pack = pack, unpack = operation("unpack"), size = operation("size")}
