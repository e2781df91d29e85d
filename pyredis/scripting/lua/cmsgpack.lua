-- The `cmsgpack` library: MessagePack from and to Lua values, as lua-cmsgpack 0.4.0 does it.
--
-- A table whose keys are exactly 1 to n is an array, any other a map; tables nested deeper
-- than 16 become nil, and so does what MessagePack has no type for. A whole number is an
-- integer of the shortest form, another one a float if a float can hold it. Of the newer
-- types (bin, ext) the library knows nothing.
--
-- Source: github.com/msgpack/msgpack, spec.md. Floats are taken apart by Python.

local box = ...
local host, fail, bad_argument = box.host, box.fail, box.bad_argument
local error, select, tonumber, tostring, type = error, select, tonumber, tostring, type
local next, rawget, unpack = next, rawget, unpack
local byte, char, sub, concat, floor = string.byte, string.char, string.sub, table.concat, math.floor
local pack_double, unpack_double = host.pack_double, host.unpack_double

local NESTING_MAX = 16
local TWO32 = 4294967296

local function two(head, n) return char(head, floor(n / 256), n % 256) end

local function four_bytes(n)
  return char(floor(n / 16777216), floor(n / 65536) % 256, floor(n / 256) % 256, n % 256)
end

local function four(head, n) return char(head) .. four_bytes(n) end

local function eight(head, n)
  local high = floor(n / TWO32)
  return char(head) .. four_bytes(high % TWO32) .. four_bytes(n - high * TWO32)
end

local function packed_integer(n)
  if n >= 0 then
    if n < 128 then return char(n) end
    if n < 256 then return char(0xcc, n) end
    if n < 65536 then return two(0xcd, n) end
    if n < TWO32 then return four(0xce, n) end
    return eight(0xcf, n)
  end
  if n >= -32 then return char(256 + n) end
  if n >= -128 then return char(0xd0, 256 + n) end
  if n >= -32768 then return two(0xd1, 65536 + n) end
  if n >= -2147483648 then return four(0xd2, TWO32 + n) end
  return eight(0xd3, n)
end

-- The head of something that has a length: short form, then 8 (0 for none), 16, 32 bits.
local function head(n, short, short_max, h8, h16, h32)
  if n <= short_max then return char(short + n) end
  if h8 and n < 256 then return char(h8, n) end
  if n < 65536 then return two(h16, n) end
  return four(h32, n)
end

-- How many elements an array has, nil for what is no array.
local function array_size(t)
  local max, items = 0, 0
  for key in next, t do
    if type(key) ~= "number" or key <= 0 or floor(key) ~= key then return nil end
    if key > max then max = key end
    items = items + 1
  end
  return max == items and max or nil
end

local function pack_value(out, value, depth)
  local kind = type(value)
  if kind == "string" then
    out[#out + 1] = head(#value, 0xa0, 31, 0xd9, 0xda, 0xdb)
    out[#out + 1] = value
  elseif kind == "number" then
    if floor(value) == value and value >= -9223372036854775808 and value < 9223372036854775808 then
      out[#out + 1] = packed_integer(value)
    else
      out[#out + 1] = pack_double(value)
    end
  elseif kind == "boolean" then
    out[#out + 1] = value and "\195" or "\194"
  elseif kind == "table" and depth < NESTING_MAX then
    local size = array_size(value)
    if size then
      out[#out + 1] = head(size, 0x90, 15, nil, 0xdc, 0xdd)
      for at = 1, size do pack_value(out, rawget(value, at), depth + 1) end
      return
    end
    size = 0
    for _ in next, value do size = size + 1 end
    out[#out + 1] = head(size, 0x80, 15, nil, 0xde, 0xdf)
    for key, item in next, value do
      pack_value(out, key, depth + 1)
      pack_value(out, item, depth + 1)
    end
  else
    out[#out + 1] = "\192"
  end
end

local function pack(...)
  local count = select("#", ...)
  if count == 0 then
    error("bad argument #0 to 'pack' (MessagePack pack needs input.)", 2)
  end
  local out = {}
  for at = 1, count do pack_value(out, (select(at, ...)), 0) end
  return concat(out)
end

-- Unpacking: each function gets the text and a place, and returns a value and the next place.

local function missing() fail("Missing bytes in input.") end

local function u16(text, at)
  local a, b = byte(text, at, at + 1)
  if not b then missing() end
  return a * 256 + b
end

local function u32(text, at)
  local a, b, c, d = byte(text, at, at + 3)
  if not d then missing() end
  return ((a * 256 + b) * 256 + c) * 256 + d
end

local function string_of(text, at, size)
  if at + size - 1 > #text then missing() end
  return sub(text, at, at + size - 1), at + size
end

local unpack_value

local function array_of(text, at, size)
  local array = {}
  for index = 1, size do array[index], at = unpack_value(text, at) end
  return array, at
end

local function map_of(text, at, size)
  local map, key, value = {}, nil, nil
  for _ = 1, size do
    key, at = unpack_value(text, at)
    value, at = unpack_value(text, at)
    if key == nil then error("table index is nil", 0) end
    if key ~= key then error("table index is NaN", 0) end
    map[key] = value
  end
  return map, at
end

local function float(size)
  return function(text, at)
    local raw, after = string_of(text, at, size)
    return unpack_double(raw), after
  end
end

local function signed64(text, at)
  local high, low = u32(text, at), u32(text, at + 4)
  if high >= 2147483648 then high = high - TWO32 end
  return high * TWO32 + low, at + 8
end

local function u8(text, at)
  local n = byte(text, at)
  if not n then missing() end
  return n
end

local by_head = {
  [0xc0] = function(text, at) return nil, at end,
  [0xc2] = function(text, at) return false, at end,
  [0xc3] = function(text, at) return true, at end,
  [0xca] = float(4),
  [0xcb] = float(8),
  [0xcc] = function(text, at) return u8(text, at), at + 1 end,
  [0xcd] = function(text, at) return u16(text, at), at + 2 end,
  [0xce] = function(text, at) return u32(text, at), at + 4 end,
  [0xcf] = signed64,  -- the library reads it through a signed integer
  [0xd0] = function(text, at)
    local n = u8(text, at)
    return n >= 128 and n - 256 or n, at + 1
  end,
  [0xd1] = function(text, at)
    local n = u16(text, at)
    return n >= 32768 and n - 65536 or n, at + 2
  end,
  [0xd2] = function(text, at)
    local n = u32(text, at)
    return n >= 2147483648 and n - TWO32 or n, at + 4
  end,
  [0xd3] = signed64,
  [0xd9] = function(text, at) return string_of(text, at + 1, u8(text, at)) end,
  [0xda] = function(text, at) return string_of(text, at + 2, u16(text, at)) end,
  [0xdb] = function(text, at) return string_of(text, at + 4, u32(text, at)) end,
  [0xdc] = function(text, at) return array_of(text, at + 2, u16(text, at)) end,
  [0xdd] = function(text, at) return array_of(text, at + 4, u32(text, at)) end,
  [0xde] = function(text, at) return map_of(text, at + 2, u16(text, at)) end,
  [0xdf] = function(text, at) return map_of(text, at + 4, u32(text, at)) end,
}

function unpack_value(text, at)
  local b = byte(text, at)
  if not b then missing() end
  at = at + 1
  if b < 0x80 then return b, at end
  if b >= 0xe0 then return b - 256, at end
  if b < 0x90 then return map_of(text, at, b - 0x80) end
  if b < 0xa0 then return array_of(text, at, b - 0x90) end
  if b < 0xc0 then return string_of(text, at, b - 0xa0) end
  local read = by_head[b]
  if not read then fail("Bad data format in input.") end
  return read(text, at)
end

-- Up to `limit` values (0 for all) from an offset; `place` says whether the next offset, or -1
-- at the end, is to come first.
local function unpack_some(text, limit, offset, place)
  local size = #text
  if limit < 0 or offset < 0 then
    -- The message names the length in the limit's stead, as the original's does.
    fail("Invalid request to unpack with offset of " .. offset .. " and limit of " .. size .. ".")
  elseif offset > size then
    fail("Start offset " .. offset .. " greater than input length " .. size .. ".")
  end
  local values, count, at = {}, 0, offset + 1
  local all = limit == 0 and offset == 0
  while at <= size and (all or count < limit) do
    count = count + 1
    values[count], at = unpack_value(text, at)
  end
  if not place or all then return unpack(values, 1, count) end
  return at > size and -1 or at - 1, unpack(values, 1, count)
end


local function number_argument(at, name, count, value)
  local number = tonumber(value)
  if not number then
    error("bad argument #" .. at .. " to '" .. name .. "' (number expected, got "
      .. (count < at and "no value" or type(value)) .. ")", 3)
  end
  return floor(number)
end

return {
  _NAME = "cmsgpack",
  _VERSION = "lua-cmsgpack 0.4.0",
  _COPYRIGHT = "none",
  _DESCRIPTION = "MessagePack in Lua",
  pack = pack,
  unpack = function(...)
    local text = ...
    if type(text) == "number" then text = tostring(text) end
    if type(text) ~= "string" then
      bad_argument(1, "unpack", "string", select("#", ...), text)
    end
    return unpack_some(text, 0, 0, false)
  end,
  unpack_one = function(...)
    local text, offset = ...
    local count = select("#", ...)
    if type(text) == "number" then text = tostring(text) end
    if type(text) ~= "string" then bad_argument(1, "unpack_one", "string", count, text) end
    if offset ~= nil then offset = number_argument(2, "unpack_one", count, offset) end
    return unpack_some(text, 1, offset or 0, true)
  end,
  unpack_limit = function(...)
    local text, limit, offset = ...
    local count = select("#", ...)
    if type(text) == "number" then text = tostring(text) end
    if type(text) ~= "string" then bad_argument(1, "unpack_limit", "string", count, text) end
    limit = number_argument(2, "unpack_limit", count, limit)
    if offset ~= nil then offset = number_argument(3, "unpack_limit", count, offset) end
    return unpack_some(text, limit, offset or 0, true)
  end,
}
