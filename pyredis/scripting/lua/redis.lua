-- The `redis` table, and the way a script is run.
--
-- A call goes to Python as it is. What comes back is one plain value (a string, an integer,
-- false for null, a table made by Python for a long or nested reply), or a mark and what it
-- marks: the text of a status or an error, which become tables here, or the elements of a
-- short list.
--
-- A script's result goes the other way as text: what is not a plain value is encoded here
-- into the bytes of the reply, which spares Python a walk through tables that are not its own.

local box = ...
local host, shown, condemn = box.host, box.shown, box.condemn
local globals, memory_limit_kb = box.globals, box.memory_limit_kb
local error, select, tostring, tonumber, type = error, select, tostring, tonumber, type
local rawget, next, pcall, xpcall, count = rawget, next, pcall, xpcall, collectgarbage
local format, gsub, find, sub, concat = string.format, string.gsub, string.find, string.sub, table.concat
local ceil, floor = math.ceil, math.floor
local host_call, host_call_list = host.call, host.call_list

-- Calls

local STATUS, ERROR, LIST = 1, 2, 3  -- a fourth mark stands before the text to end with

local function deliver(a, b, ...)
  if b == nil then return a end
  if a == STATUS then return {ok = b} end
  if a == LIST then return {...} end
  if a == ERROR then error({err = b, ignore_error_stats_update = true}, 0) end
  condemn(b)
end

local function deliver_tame(a, b, ...)
  if b == nil then return a end
  if a == STATUS then return {ok = b} end
  if a == LIST then return {...} end
  if a == ERROR then return {err = b, ignore_error_stats_update = true} end
  condemn(b)
end

local redis = {}

-- The stack of a C function holds 8000 values, and the way to Python needs some of them.
local MANY = 7900

function redis.call(...)
  if count("count") > memory_limit_kb then error("not enough memory", 0) end
  if select("#", ...) > MANY then return deliver(host_call_list({...}, select("#", ...))) end
  return deliver(host_call(...))
end

function redis.pcall(...)
  if count("count") > memory_limit_kb then error("not enough memory", 0) end
  if select("#", ...) > MANY then return deliver_tame(host_call_list({...}, select("#", ...))) end
  return deliver_tame(host_call(...))
end

-- The other functions

-- An error of the API itself is a table, without a position.
local function complain(text) error({err = text}, 0) end

function redis.log(...)
  local arguments = select("#", ...)
  if arguments < 2 then complain("ERR redis.log() requires two arguments or more.") end
  local level = tonumber((...))
  if not level then complain("ERR First argument must be a number (log level).") end
  level = floor(level)
  if level < 0 or level > 3 then complain("ERR Invalid debug level.") end
  local pieces = {}
  for at = 2, arguments do
    local value = select(at, ...)
    if type(value) == "string" or type(value) == "number" then
      pieces[#pieces + 1] = value
    end
  end
  host.log(level, concat(pieces, " "))
end

function redis.sha1hex(...)
  if select("#", ...) ~= 1 then complain("ERR wrong number of arguments") end
  local text = ...
  if type(text) == "number" then text = tostring(text) end
  return host.sha1hex(type(text) == "string" and text or "")
end

function redis.error_reply(...)
  local text = ...
  if select("#", ...) ~= 1 or type(text) ~= "string" then
    return {err = "ERR wrong number or type of arguments"}
  end
  text = gsub(text, "^%-", "")
  -- One word is a text without a code.
  return {err = find(text, " ", 1, true) and text or "ERR " .. text}
end

function redis.status_reply(...)
  local text = ...
  if select("#", ...) ~= 1 or type(text) ~= "string" then
    return {err = "ERR wrong number or type of arguments"}
  end
  return {ok = text}
end

function redis.setresp(...)
  if select("#", ...) ~= 1 then complain("ERR redis.setresp() requires one argument.") end
  local version = tonumber((...))
  if version ~= 2 and version ~= 3 then complain("ERR RESP version must be 2 or 3.") end
  host.setresp(version == 3)
end

function redis.set_repl(...)
  if select("#", ...) ~= 1 then complain("ERR redis.set_repl() requires two arguments.") end
  local flags = tonumber((...)) or 0
  if flags < 0 or flags > 3 then
    complain("ERR Invalid replication flags. Use REPL_AOF, REPL_REPLICA, REPL_ALL or REPL_NONE.")
  end
  host.set_repl(floor(flags))
end

function redis.acl_check_cmd(...)
  local allowed, problem = host.acl_check(...)
  if problem then complain(problem) end
  return allowed
end

redis.LOG_DEBUG, redis.LOG_VERBOSE, redis.LOG_NOTICE, redis.LOG_WARNING = 0, 1, 2, 3
redis.REPL_NONE, redis.REPL_AOF, redis.REPL_SLAVE, redis.REPL_REPLICA, redis.REPL_ALL = 0, 1, 2, 2, 3
redis.REDIS_VERSION, redis.REDIS_VERSION_NUM = host.version()

-- What functions do not have: leftovers of older Redis, and of its debugger.
local only_eval = {
  breakpoint = function() return false end,
  debug = function() end,
  replicate_commands = function() return true end,
}

-- Results

local function one_line(text)
  return (gsub(text, "[\r\n]", " "))
end

local encode

-- Each writes its head last, when it knows the size.
local function encode_map(out, map, resp3, script3, room)
  local head, size = #out + 1, 0
  out[head] = ""
  for key, value in next, map do
    encode(out, key, resp3, script3, room)
    encode(out, value, resp3, script3, room)
    size = size + 1
  end
  out[head] = resp3 and format("%%%d\r\n", size) or format("*%d\r\n", 2 * size)
end

local function encode_set(out, set, resp3, script3, room)
  local head, size = #out + 1, 0
  out[head] = ""
  for key in next, set do
    encode(out, key, resp3, script3, room)
    size = size + 1
  end
  out[head] = format(resp3 and "~%d\r\n" or "*%d\r\n", size)
end

local function encode_array(out, array, resp3, script3, room)
  local head, size = #out + 1, 0
  out[head] = ""
  local item = rawget(array, 1)
  while item ~= nil do
    encode(out, item, resp3, script3, room)
    size = size + 1
    item = rawget(array, size + 1)
  end
  out[head] = format("*%d\r\n", size)
end

local function bulk(text) return format("$%d\r\n", #text) .. text .. "\r\n" end

-- A table with one of some fields stands for a reply of that type; the order is Redis'.
local function encode_table(out, value, resp3, script3, room)
  local field = rawget(value, "err")
  if type(field) == "string" then
    field = one_line(field)
    host.count_error(field, rawget(value, "ignore_error_stats_update") and true or false)
    out[#out + 1] = "-" .. field .. "\r\n"
    return
  end
  field = rawget(value, "ok")
  if type(field) == "string" then
    out[#out + 1] = "+" .. one_line(field) .. "\r\n"
    return
  end
  field = rawget(value, "double")
  if type(field) == "number" then
    local text = field == 0 and 1 / field < 0 and "-0" or host.double_text(field)
    out[#out + 1] = resp3 and "," .. text .. "\r\n" or bulk(text)
    return
  end
  field = rawget(value, "map")
  if type(field) == "table" then return encode_map(out, field, resp3, script3, room - 3) end
  field = rawget(value, "set")
  if type(field) == "table" then return encode_set(out, field, resp3, script3, room - 3) end
  field = rawget(value, "big_number")
  if type(field) == "string" then
    field = one_line(field)
    out[#out + 1] = resp3 and "(" .. field .. "\r\n" or bulk(field)
    return
  end
  field = rawget(value, "verbatim_string")
  if type(field) == "table" then
    local text, kind = rawget(field, "string"), rawget(field, "format")
    if type(text) == "string" and type(kind) == "string" then
      if not resp3 then
        out[#out + 1] = bulk(text)
      else
        kind = sub(kind .. "   ", 1, 3)
        out[#out + 1] = format("=%d\r\n", #text + 4) .. kind .. ":" .. text .. "\r\n"
      end
      return
    end
  end
  return encode_array(out, value, resp3, script3, room - 1)
end

function encode(out, value, resp3, script3, room)
  local kind = type(value)
  if kind == "string" then
    out[#out + 1] = bulk(value)
  elseif kind == "number" then
    out[#out + 1] = format(":%d\r\n", value)
  elseif kind == "table" then
    if room <= 0 then
      host.count_error("ERR reached lua stack limit", false)
      out[#out + 1] = "-ERR reached lua stack limit\r\n"
    else
      encode_table(out, value, resp3, script3, room)
    end
  elseif kind == "boolean" and script3 and resp3 then
    out[#out + 1] = value and "#t\r\n" or "#f\r\n"
  elseif kind == "boolean" and script3 then
    out[#out + 1] = value and ":1\r\n" or ":0\r\n"
  elseif value == true then
    out[#out + 1] = ":1\r\n"
  else
    out[#out + 1] = resp3 and "_\r\n" or "$-1\r\n"
  end
end

-- How deep a reply may nest: Redis has stack for so many arrays, and uses thrice as much
-- for a map.
local ROOM = 7995

local function encoded(value, resp3)
  local out = {}
  encode(out, value, resp3, host.script_resp3(), ROOM)
  return concat(out)
end

-- Runs

local PLAIN, WIRE, REPLIED, FAILED = 0, 1, 2, 3
local NO_TEXT = "ERR unknown error"

-- The message handler: says where, while the stack still stands. A message that names a
-- place inside our own code is made to name the caller's.
local function on_error(e)
  local place = box.place()
  e = shown(e)
  local failure
  if type(e) == "table" then
    local text = rawget(e, "err")
    failure = {
      text = (type(text) == "string" or type(text) == "number") and tostring(text) or NO_TEXT,
      counted = rawget(e, "ignore_error_stats_update") and true or false,
    }
  else
    local text = tostring(e)
    if place then
      local here = place.short_src .. ":" .. place.currentline .. ":"
      text = gsub(text, "^%(redis%):%d+:", function() return here end)
    end
    failure = {text = "ERR " .. text, counted = false}
  end
  if place then
    failure.source, failure.line = place.source, place.currentline
  end
  return failure
end

-- What the server gets: a mark and what belongs to it.
local function finish(resp3, ok, value)
  box.absolve()
  local kind = type(value)
  if not ok then
    if kind ~= "table" then return FAILED, "ERR " .. tostring(value), false, "", -1 end
    return FAILED, value.text, value.counted, value.source or "", value.line or -1
  end
  if kind == "string" then return PLAIN, value end
  if kind == "number" and value > -9e15 and value < 9e15 then
    return PLAIN, value < 0 and ceil(value) or floor(value)
  end
  if value == nil then return PLAIN end
  if kind == "table" then
    local text = rawget(value, "err")
    if type(text) == "string" then
      local counted = rawget(value, "ignore_error_stats_update") and true or false
      return REPLIED, text, counted
    end
  end
  local done, wire = pcall(encoded, value, resp3)
  if done then return WIRE, wire end
  return FAILED, "ERR " .. tostring(wire), false, "", -1
end

local function split(keys_count, ...)
  local all = {...}
  if keys_count == 0 then return {}, all end
  local keys, args = {}, {}
  for at = 1, keys_count do keys[at] = all[at] end
  for at = keys_count + 1, #all do args[at - keys_count] = all[at] end
  return keys, args
end

-- Large arguments must not outlive the run.
local function released(...)
  globals.KEYS, globals.ARGV = nil, nil
  return ...
end

-- Keys and arguments come one by one, or as two tables when they are many.
local function run_script(chunk, resp3, keys_count, ...)
  if keys_count >= 0 then
    globals.KEYS, globals.ARGV = split(keys_count, ...)
  else
    globals.KEYS, globals.ARGV = ...
  end
  return released(finish(resp3, xpcall(chunk, on_error)))
end

local function run_function(callback, resp3, keys_count, ...)
  local keys, args
  if keys_count >= 0 then
    keys, args = split(keys_count, ...)
  else
    keys, args = ...
  end
  return finish(resp3, xpcall(function()
    local value = callback(keys, args)
    return value
  end, on_error))
end

return {
  redis = redis, only_eval = only_eval, complain = complain, on_error = on_error,
  run_script = run_script, run_function = run_function,
}
