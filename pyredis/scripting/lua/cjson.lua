-- The `cjson` library: JSON from and to Lua values, as lua-cjson 2.1 does it.
--
-- Theory. In Lua 5.1 the fast things are those done by one C call: string.find with a
-- pattern to skip to the end of a string, table.concat to join pieces (it prints numbers
-- with 14 digits, which is the library's default too), gsub with a table to escape. Both
-- directions are recursive descents around these. What an error message needs (the name of
-- the token met instead) is found out only once there is an error.
--
-- Null is `cjson.null`. A table is an array when all its keys are positive integers; `{}` is
-- an object. Settings belong to an instance (`cjson.new`), and outlive the script that made
-- them, as they do in Redis.

local box = ...
local null, fail = box.null, box.fail
local select, tostring, tonumber, type = select, tostring, tonumber, type
local next, rawget, getmetatable, setmetatable = next, rawget, getmetatable, setmetatable
local byte, char, find, format = string.byte, string.char, string.find, string.format
local gsub, lower, match, sub = string.gsub, string.lower, string.match, string.sub
local concat, floor, huge = table.concat, math.floor, math.huge

local escapes = {
  ['"'] = '\\"', ["\\"] = "\\\\", ["/"] = "\\/", ["\b"] = "\\b", ["\f"] = "\\f",
  ["\n"] = "\\n", ["\r"] = "\\r", ["\t"] = "\\t", ["\127"] = "\\u007f",
}
for code = 0, 31 do
  escapes[char(code)] = escapes[char(code)] or format("\\u%04x", code)
end
local SPECIAL = '[%c"\\/\127]'

local unescapes = {
  [34] = '"', [92] = "\\", [47] = "/", [98] = "\b", [102] = "\f", [110] = "\n", [114] = "\r",
  [116] = "\t",
}

local PLAIN_KEY = '^"([^"\\%z]*)"[ \t\n\r]*:[ \t\n\r]*()'
local PLAIN_STRING = '^"([^"\\%z]*)"()'

local array_mt = {}  -- marks tables that came from arrays, when that is asked for

-- Decoding of \u escapes

local function utf8(code)
  if code < 0x80 then return char(code) end
  if code < 0x800 then return char(0xC0 + floor(code / 64), 0x80 + code % 64) end
  if code < 0x10000 then
    return char(0xE0 + floor(code / 4096), 0x80 + floor(code / 64) % 64, 0x80 + code % 64)
  end
  return char(0xF0 + floor(code / 262144), 0x80 + floor(code / 4096) % 64,
    0x80 + floor(code / 64) % 64, 0x80 + code % 64)
end

-- The text of the \u escape at a backslash and where it ends, nil when it is not one.
local function unicode(text, at)
  local digits = match(text, "^u(%x%x%x%x)", at + 1)
  if not digits then return nil end
  local code = tonumber(digits, 16)
  if code < 0xD800 or code > 0xDFFF then return utf8(code), at + 5 end
  local low = match(text, "^\\u(%x%x%x%x)", at + 6)
  low = low and tonumber(low, 16)
  if code > 0xDBFF or not low or low < 0xDC00 or low > 0xDFFF then return nil end
  return utf8(0x10000 + (code - 0xD800) * 1024 + low - 0xDC00), at + 11
end

-- Everything below depends on the settings of an instance.
local function new()
  local settings = {
    sparse_convert = false, sparse_ratio = 2, sparse_safe = 10, encode_depth = 1000,
    decode_depth = 1000, precision = 14, keep_buffer = true, encode_invalid = false,
    decode_invalid = true, decode_array_mt = false,
  }
  local number_format = nil  -- set when it is not what concat does

  -- Encoding

  local function text_of(text)
    if find(text, SPECIAL) then text = gsub(text, SPECIAL, escapes) end
    return '"' .. text .. '"'
  end

  local function number(value)
    if value ~= value or value == huge or value == -huge then
      if settings.encode_invalid == "null" then return "null" end
      if not settings.encode_invalid then
        fail("Cannot serialise number: must not be NaN or Inf")
      end
      return value ~= value and "nan" or value > 0 and "inf" or "-inf"
    end
    return number_format and format(number_format, value) or value
  end

  -- The length of an array, nil for an object.
  local function array_length(value)
    local max, items = 0, 0
    for key in next, value do
      if type(key) ~= "number" or key <= 0 or floor(key) ~= key then return nil end
      if key > max then max = key end
      items = items + 1
    end
    if max > settings.sparse_safe and settings.sparse_ratio > 0
      and max > items * settings.sparse_ratio then
      if not settings.sparse_convert then
        fail("Cannot serialise table: excessively sparse array")
      end
      return nil
    end
    return max > 0 and max or nil
  end

  local encode_table

  local function encode_value(out, size, value, depth)
    local kind = type(value)
    if kind == "string" then
      if find(value, SPECIAL) then value = gsub(value, SPECIAL, escapes) end
      out[size + 1], out[size + 2], out[size + 3] = '"', value, '"'
      return size + 3
    elseif kind == "number" then
      out[size + 1] = number(value)
    elseif kind == "table" then
      return encode_table(out, size, value, depth + 1)
    elseif kind == "boolean" then
      out[size + 1] = value and "true" or "false"
    elseif value == nil or value == null then
      out[size + 1] = "null"
    else
      fail("Cannot serialise " .. kind .. ": type not supported")
    end
    return size + 1
  end

  function encode_table(out, size, value, depth)
    if depth > settings.encode_depth then
      fail("Cannot serialise, excessive nesting (" .. depth .. ")")
    end
    local length = array_length(value)
    if getmetatable(value) == array_mt then length = length or 0 end
    local start = size + 1
    if length then
      for at = 1, length do
        out[size + 1] = ","
        size = encode_value(out, size + 1, rawget(value, at), depth)
      end
      if length == 0 then size = start end
      out[start] = "["
      out[size + 1] = "]"
      return size + 1
    end
    for key, item in next, value do
      local kind = type(key)
      if kind == "string" then
        if find(key, SPECIAL) then key = gsub(key, SPECIAL, escapes) end
      elseif kind == "number" then
        key = number(key)
      else
        fail("Cannot serialise " .. kind .. ": table key must be a number or string")
      end
      out[size + 1], out[size + 2], out[size + 3] = ',"', key, '":'
      size = encode_value(out, size + 3, item, depth)
    end
    if size < start then
      out[start] = "{}"
      return start
    end
    out[start] = '{"'
    out[size + 1] = "}"
    return size + 1
  end

  local function encode(...)
    if select("#", ...) ~= 1 then
      fail("bad argument #1 to 'encode' (expected 1 argument)")
    end
    local value = ...
    if type(value) == "string" then return text_of(value) end
    local out = {}
    encode_value(out, 0, value, 0)
    return concat(out)
  end

  -- Decoding. `text` is what is being read.

  local text = ""

  -- Where a string starting at a quote ends, or what is wrong with it and where.
  local function string_problem(at)
    at = at + 1
    while true do
      at = find(text, '["\\%z]', at)
      local b = at and byte(text, at)
      if not b or b == 0 then return "unexpected end of string", at or #text + 1 end
      if b == 34 then return nil end
      local escaped = byte(text, at + 1)
      if escaped == 117 then
        local _, last = unicode(text, at)
        if not last then return "invalid unicode escape code", at end
        at = last + 1
      elseif unescapes[escaped] then
        at = at + 2
      else
        return "invalid escape code", at
      end
    end
  end

  local function looks_invalid(at)
    if byte(text, at) == 43 then return true end
    local rest = lower(match(text, "^%-?(%w?%w?%w?)", at))
    return find(rest, "^0[%dx]") ~= nil or sub(rest, 1, 3) == "inf" or sub(rest, 1, 3) == "nan"
  end

  -- The number at a place and where it ends, nil when there is none. Like strtod it takes the
  -- longest beginning that is a number.
  local function number_at(at)
    local digits, after = match(text, "^(%-?%d+)()", at)
    if digits then
      local b = byte(text, after)
      if not (b == 46 or b == 69 or b == 101 or b == 88 or b == 120) then
        if settings.decode_invalid or not looks_invalid(at) then
          return tonumber(digits), after - 1
        end
        return nil
      end
    elseif not settings.decode_invalid then
      return nil
    end
    if not settings.decode_invalid and looks_invalid(at) then return nil end
    local run = match(text, "^[%w.+-]+", at)
    for size = run and #run or 0, 1, -1 do
      local value = tonumber(sub(run, 1, size))
      if value then return value, at + size - 1 end
    end
    return nil
  end

  local names = {
    [0] = "T_END", [34] = "T_STRING", [44] = "T_COMMA", [58] = "T_COLON", [91] = "T_ARR_BEGIN",
    [93] = "T_ARR_END", [123] = "T_OBJ_BEGIN", [125] = "T_OBJ_END",
  }

  -- The token at a place, for an error message, and where the message should point.
  local function met(at)
    local b = byte(text, at)
    if not b then return "T_END", at end
    if b == 34 then
      local problem, place = string_problem(at)
      return problem or "T_STRING", problem and place or at
    end
    if names[b] then return names[b], at end
    if b == 45 or b >= 48 and b <= 57 then
      return number_at(at) and "T_NUMBER" or "invalid number", at
    end
    if find(text, "^true", at) or find(text, "^false", at) then return "T_BOOLEAN", at end
    if find(text, "^null", at) then return "T_NULL", at end
    if settings.decode_invalid and looks_invalid(at) then
      return number_at(at) and "T_NUMBER" or "invalid number", at
    end
    return "invalid token", at
  end

  local function expected(what, at)
    local token, place = met(at)
    fail("Expected " .. what .. " but found " .. token .. " at character " .. place)
  end

  local function string_at(at)
    local plain, after = match(text, PLAIN_STRING, at)
    if plain then return plain, after end
    if string_problem(at) then return nil end
    local last
    local pieces, size, from = {}, 0, at + 1
    while true do
      last = find(text, '["\\]', from)
      size = size + 1
      pieces[size] = sub(text, from, last - 1)
      if byte(text, last) == 34 then return concat(pieces), last + 1 end
      size = size + 1
      local escaped = byte(text, last + 1)
      if escaped == 117 then
        pieces[size], last = unicode(text, last)
        from = last + 1
      else
        pieces[size] = unescapes[escaped]
        from = last + 2
      end
    end
  end

  -- The byte after blanks, and where it stands.
  local function skip(at)
    local b = byte(text, at)
    if b == 32 or b == 10 or b == 13 or b == 9 then
      at = find(text, "[^ \t\n\r]", at) or #text + 1
      b = byte(text, at)
    end
    return b, at
  end

  -- A key with escapes, or an error; and where its value begins.
  local function key_at(b, at)
    if b ~= 34 then expected("object key string", at) end
    local start, key = at, nil
    key, at = string_at(at)
    if not key then expected("object key string", start) end
    b, at = skip(at)
    if b ~= 58 then expected("colon", at) end
    b, at = skip(at + 1)
    return key, at
  end

  local array_at, object_at

  -- The value at a place and where the text goes on after it.
  local function value_at(b, at, depth)
    if b == 34 then
      local value, after = string_at(at)
      if value then return value, after end
    elseif b == 123 then
      return object_at(at, depth + 1)
    elseif b == 91 then
      return array_at(at, depth + 1)
    elseif b == 116 and find(text, "^true", at) then
      return true, at + 4
    elseif b == 102 and find(text, "^false", at) then
      return false, at + 5
    elseif b == 110 and find(text, "^null", at) then
      return null, at + 4
    elseif b then
      if b == 45 or b >= 48 and b <= 57 or settings.decode_invalid and looks_invalid(at) then
        local value, last = number_at(at)
        if value then return value, last + 1 end
      end
    end
    expected("value", at)
  end

  local function too_deep(depth, at)
    fail("Found too many nested data structures (" .. depth .. ") at character " .. at)
  end

  function array_at(at, depth)
    if depth > settings.decode_depth then too_deep(depth, at) end
    local array, size, b = {}, 0, nil
    if settings.decode_array_mt then setmetatable(array, array_mt) end
    b, at = skip(at + 1)
    if b == 93 then return array, at + 1 end
    while true do
      size = size + 1
      array[size], at = value_at(b, at, depth)
      b = byte(text, at)
      if b and b <= 32 then b, at = skip(at) end
      if b == 93 then return array, at + 1 end
      if b ~= 44 then expected("comma or array end", at) end
      at = at + 1
      b = byte(text, at)
      if b and b <= 32 then b, at = skip(at) end
    end
  end

  function object_at(at, depth)
    if depth > settings.decode_depth then too_deep(depth, at) end
    local object, b = {}, nil
    b, at = skip(at + 1)
    if b == 125 then return object, at + 1 end
    while true do
      -- Nearly always a plain key, a colon and a value: one match finds all three.
      local key, after = match(text, PLAIN_KEY, at)
      if key then
        at = after
      else
        key, at = key_at(b, at)
      end
      object[key], at = value_at(byte(text, at), at, depth)
      b = byte(text, at)
      if b and b <= 32 then b, at = skip(at) end
      if b == 125 then return object, at + 1 end
      if b ~= 44 then expected("comma or object end", at) end
      at = at + 1
      b = byte(text, at)
      if b and b <= 32 then b, at = skip(at) end
    end
  end

  local function decode(...)
    if select("#", ...) ~= 1 then
      fail("bad argument #1 to 'decode' (expected 1 argument)")
    end
    text = ...
    if type(text) == "number" then text = tostring(text) end
    if type(text) ~= "string" then box.bad_argument(1, "decode", "string", 1, text) end
    if #text >= 2 and (byte(text, 1) == 0 or byte(text, 2) == 0) then
      fail("JSON parser does not support UTF-16 or UTF-32")
    end
    local value
    local b, at = skip(1)
    value, at = value_at(b, at, 0)
    b, at = skip(at)
    if b and b ~= 0 then expected("the end", at) end
    text = ""
    return value
  end

  -- Settings: each function sets what it is given and returns what holds.

  local function complain(at, name, problem)
    fail("bad argument #" .. at .. " to '" .. name .. "' (" .. problem .. ")")
  end

  local function check_count(name, count, max)
    if count > max then complain(max + 1, name, "found too many arguments") end
  end

  local function integer(at, name, value, low, high)
    local whole = tonumber(value)
    if not whole then complain(at, name, "number expected, got " .. type(value)) end
    whole = floor(whole)
    if whole < low or whole > high then
      complain(at, name, format("expected integer between %d and %d", low, high))
    end
    return whole
  end

  -- A boolean, or one of a few words; the word `truth` means true.
  local function choice(at, name, value, words, truth)
    if type(value) == "boolean" then return value and truth or "off" end
    if type(value) ~= "string" then
      complain(at, name, "string expected, got " .. type(value))
    end
    if not find(words, " " .. value .. " ", 1, true) then
      complain(at, name, "invalid option '" .. value .. "'")
    end
    return value
  end

  local function switch(at, name, value)
    return choice(at, name, value, " off on ", "on") == "on"
  end

  local INT_MAX = 2147483647
  local cjson = {_NAME = "cjson", _VERSION = "2.1.0", null = null, new = new}
  cjson.encode, cjson.decode = encode, decode

  local function integer_setting(name, field, low, high)
    cjson[name] = function(...)
      local function set(value, ...)
        check_count(name, select("#", ...) + 1, 1)
        if value ~= nil then settings[field] = integer(1, name, value, low, high) end
      end
      set(...)
      return settings[field]
    end
  end

  integer_setting("encode_max_depth", "encode_depth", 1, INT_MAX)
  integer_setting("decode_max_depth", "decode_depth", 1, INT_MAX)

  local function switch_setting(name, field)
    cjson[name] = function(...)
      local function set(value, ...)
        check_count(name, select("#", ...) + 1, 1)
        if value ~= nil then settings[field] = switch(1, name, value) end
      end
      set(...)
      return settings[field]
    end
  end

  switch_setting("encode_keep_buffer", "keep_buffer")
  switch_setting("decode_invalid_numbers", "decode_invalid")
  switch_setting("decode_array_with_array_mt", "decode_array_mt")

  function cjson.encode_number_precision(...)
    local function set(value, ...)
      check_count("encode_number_precision", select("#", ...) + 1, 1)
      if value == nil then return end
      settings.precision = integer(1, "encode_number_precision", value, 1, 14)
      number_format = settings.precision ~= 14 and "%." .. settings.precision .. "g" or nil
    end
    set(...)
    return settings.precision
  end

  function cjson.encode_invalid_numbers(...)
    local function set(value, ...)
      check_count("encode_invalid_numbers", select("#", ...) + 1, 1)
      if value == nil then return end
      local word = choice(1, "encode_invalid_numbers", value, " off on null ", "on")
      settings.encode_invalid = word == "null" and word or word == "on"
    end
    set(...)
    return settings.encode_invalid
  end

  function cjson.encode_sparse_array(...)
    local function set(convert, ratio, safe, ...)
      check_count("encode_sparse_array", select("#", ...) + 3, 3)
      if convert ~= nil then
        settings.sparse_convert = switch(1, "encode_sparse_array", convert)
      end
      if ratio ~= nil then
        settings.sparse_ratio = integer(2, "encode_sparse_array", ratio, 0, INT_MAX)
      end
      if safe ~= nil then
        settings.sparse_safe = integer(3, "encode_sparse_array", safe, 0, INT_MAX)
      end
    end
    set(...)
    return settings.sparse_convert, settings.sparse_ratio, settings.sparse_safe
  end

  return cjson
end

return new()
