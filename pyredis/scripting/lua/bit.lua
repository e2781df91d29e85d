-- The `bit` library: bitwise operations on 32 bits, as BitOp has them.
--
-- Lua 5.1 has no bitwise operators, and doing them with arithmetic costs more than asking
-- Python. A failure comes back as a second value.

local box = ...
local host, error = box.host, error

local function operation(name)
  local work = host["bit_" .. name]
  return function(...)
    local value, problem = work(...)
    if problem then error(problem, 2) end
    return value
  end
end

local bit = {}
for _, name in ipairs{
  "tobit", "bnot", "band", "bor", "bxor", "lshift", "rshift", "arshift", "rol", "ror",
  "bswap", "tohex",
} do
  bit[name] = operation(name)
end
return bit
