-- The `struct` library: see `structs.py`, which does the work. A problem comes back marked.

local box = ...
local host, error, unpack = box.host, error, unpack

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

return {pack = operation("pack"), unpack = operation("unpack"), size = operation("size")}
