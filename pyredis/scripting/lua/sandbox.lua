-- The walls of a Lua state in which scripts of clients run.
--
-- Theory. Plain Lua 5.1 cannot make a table read-only, so what scripts may read but not
-- change (the libraries, their globals) is shown to them through *proxies*: empty tables
-- whose metatable looks the key up in the real one and refuses assignments. The functions
-- that would reach around a metatable (rawset, table.insert, next ...) know the proxies and
-- treat them as if the refusal were built in. The real tables are upvalues of this chunk,
-- which nobody can reach without the debug library.
--
-- Every chunk a client sends gets `env`, the proxy of the real globals, as its environment.
-- The table that Lua itself calls the globals is emptied: the bridge to Python looks names
-- up there (outside any protected call), so it must stay a plain table.
--
-- An error from Python would arrive as an object of Python. The bridge's callables never
-- raise, but should one fail before its first instruction, all places where a script can
-- catch an error (pcall, xpcall, coroutine.resume) exchange such an object for a text.
--
-- Bytecode is a way out of any sandbox of Lua 5.1, so nothing that a client brings is loaded
-- unless it is text. What is loaded passes through `plain`: Python takes the chunk's own dump
-- and makes every tail call an ordinary one. Otherwise `return redis.call(...)` would erase
-- the line that an error message has to name; in real Redis such functions are C, and a tail
-- call to C leaves its caller on the stack. The price is that endless tail recursion ends
-- with a stack overflow.
--
-- A count hook calls the server back every so many instructions. A hook belongs to one
-- coroutine, so coroutine.create sets it in every new one. Once a script is condemned the
-- hook fires at every instruction and raises there: no pcall can hold it up for long.

local host, hook_interval, memory_limit_kb, deprecated_api = ...

local error, select, tostring, tonumber, type = error, select, tostring, tonumber, type
local rawget, rawset, next = rawget, rawset, next
local getmetatable, setmetatable, newproxy = getmetatable, setmetatable, newproxy
local pcall, loadstring, unpack = pcall, loadstring, unpack
local getfenv, setfenv, collectgarbage = getfenv, setfenv, collectgarbage
local byte, gsub, dump, concat = string.byte, string.gsub, string.dump, table.concat
local getinfo, sethook, floor = debug.getinfo, debug.sethook, math.floor

local INTERNAL = "=(redis)"  -- the source of all chunks of ours

local box = {host = host, memory_limit_kb = memory_limit_kb}

-- Proxies

local READONLY = "Attempt to modify a readonly table"

local real_of = {}

local function refuse() error(READONLY, 2) end

local function protect(real)
  local proxy = setmetatable({}, {__index = real, __newindex = refuse})
  real_of[proxy] = real
  return proxy
end

box.protect = protect

-- Errors

-- Real Redis has a light userdata here, which no Lua code can make.
local null = newproxy(true)
getmetatable(null).__tostring = function() return "userdata: (nil)" end
getmetatable(null).__metatable = false
box.null = null

-- What a script may be shown of an error: anything but an object of Python.
local function shown(e)
  if type(e) == "userdata" and e ~= null then return "internal error, see the server's log" end
  return e
end

box.shown = shown

function box.bad_argument(at, name, expected, count, value)
  local got = count < at and "no value" or type(value)
  error("bad argument #" .. at .. " to '" .. name .. "' (" .. expected .. " expected, got "
    .. got .. ")", 3)
end

local bad_argument = box.bad_argument

-- Raise an error from any depth inside a library, at the place that called the library.
function box.fail(message)
  local level = 2
  local info = getinfo(level, "S")
  while info and (info.source == INTERNAL or info.what == "tail") do
    level = level + 1
    info = getinfo(level, "S")
  end
  error(message, level)
end

-- For a message handler: the innermost place in the client's own code.
function box.place()
  local level = 3
  local info = getinfo(level, "Sl")
  while info do
    if info.source ~= INTERNAL and info.currentline > 0 then return info end
    level = level + 1
    info = getinfo(level, "Sl")
  end
end

-- What a caught error says, without a place in code of ours. (Uncaught ones get the caller's.)
local function caught(e)
  e = shown(e)
  if type(e) == "string" then e = gsub(e, "^%(redis%):%d+: ", "", 1) end
  return e
end

-- pcall gives the text of an error reply, as its callers expect since before there were tables.
local function settle(ok, ...)
  if ok then return true, ... end
  local e = caught((...))
  if type(e) == "table" then
    local text = rawget(e, "err")
    if type(text) == "string" then return false, text end
  end
  return false, e
end

-- xpcall's handler runs when the stack is unwound. Lua would run it before that, and if the
-- error was the hook's, still inside the hook: there nothing could interrupt it.
local function handled(handler, ok, ...)
  if ok then return true, ... end
  local done, value
  if type(handler) == "function" then done, value = pcall(handler, caught((...))) end
  if not done then value = "error in error handling" end
  return false, value
end

-- The count hook

local condemned = false  -- or the text to end with
local tick = host.tick

local function hook()
  if not condemned then
    condemned = tick()
    if not condemned then return end
  end
  sethook(hook, "l", 1)
  if getinfo(2, "S").source ~= INTERNAL then error({err = condemned}, 0) end
end

function box.watch() sethook(hook, "", hook_interval) end

-- End the running script now, not at the next interval.
function box.condemn(text)
  condemned = text
  sethook(hook, "l", 1)
  error({err = text}, 0)
end

-- At the end of a run: the next one starts unsuspected.
function box.absolve()
  if condemned then
    box.watch()  -- first: while it fires, the hook would condemn again
    condemned = false
  end
end

-- Coroutines

local create, resume = coroutine.create, coroutine.resume

local function created(name, f)
  if type(f) ~= "function" then
    error("bad argument #1 to '" .. name .. "' (Lua function expected)", 3)
  end
  local co = create(f)
  sethook(co, hook, "", hook_interval)
  return co
end

local function resumed(ok, ...)
  if ok then return true, ... end
  return false, caught((...))
end

local function unwrapped(ok, ...)
  if ok then return ... end
  local e = caught((...))
  error(e, (type(e) == "string" or type(e) == "number") and 3 or 0)
end

local safe_coroutine = {
  create = function(f)
    local co = created("create", f)
    return co
  end,
  resume = function(co, ...)
    if type(co) ~= "thread" then
      error("bad argument #1 to 'resume' (coroutine expected)", 2)
    end
    return resumed(resume(co, ...))
  end,
  running = coroutine.running,
  status = coroutine.status,
  wrap = function(f)
    local co = created("wrap", f)
    return function(...)
      return unwrapped(resume(co, ...))
    end
  end,
  yield = coroutine.yield,
}

-- Loading of text

local globals = {}
local env = protect(globals)

-- The message of a compiler that has forgotten how to read bytecode.
local function no_bytecode(name)
  local _, message = loadstring("\1", name)
  return (gsub(message, "char%(1%)", "char(27)"))
end

local plain = host.plain

function box.compile(text, name)
  if byte(text, 1) == 27 then return nil, no_bytecode(name) end
  local chunk, message = loadstring(text, name)
  if not chunk then return nil, message end
  return setfenv(loadstring(plain(dump(chunk))), env)
end

local compile = box.compile

local function load_text(...)
  local text, name = ...
  if type(text) == "number" then text = tostring(text) end
  if type(text) ~= "string" then
    bad_argument(1, "loadstring", "string", select("#", ...), text)
  end
  if name ~= nil and type(name) ~= "string" then
    bad_argument(2, "loadstring", "string", 2, name)
  end
  return compile(text, name or text)
end

local function load_pieces(f, name)
  if type(f) ~= "function" then bad_argument(1, "load", "function", 1, f) end
  local pieces = {}
  while true do
    local piece = f()
    if piece == nil or piece == "" then break end
    if type(piece) ~= "string" then return nil, "reader function must return a string" end
    if #pieces == 0 and byte(piece, 1) == 27 then return nil, no_bytecode(name or "=(load)") end
    pieces[#pieces + 1] = piece
  end
  return compile(concat(pieces), name or "=(load)")
end

-- What would reach around a proxy

local function safe_next(t, key)
  if type(t) ~= "table" then bad_argument(1, "next", "table", 1, t) end
  return next(real_of[t] or t, key)
end

local function safe_pairs(t)
  if type(t) ~= "table" then bad_argument(1, "pairs", "table", 1, t) end
  return real_of[t] and safe_next or next, t, nil
end

local function safe_setmetatable(t, mt)
  if real_of[t] then error(READONLY, 0) end
  if type(t) ~= "table" then bad_argument(1, "setmetatable", "table", 1, t) end
  if mt ~= nil and type(mt) ~= "table" then
    error("bad argument #2 to 'setmetatable' (nil or table expected)", 2)
  end
  if getmetatable(t) ~= nil and not pcall(setmetatable, t, mt) then
    error("cannot change a protected metatable", 2)
  end
  return setmetatable(t, mt)
end

local metatable_of_env = protect{
  __index = function(_, name)
    error("Script attempted to access nonexistent global variable '" .. tostring(name) .. "'", 2)
  end,
}

local function safe_getmetatable(...)
  if select("#", ...) == 0 then
    error("bad argument #1 to 'getmetatable' (value expected)", 2)
  end
  local value = ...
  if value == env then return metatable_of_env end
  if type(value) == "table" and real_of[value] then return nil end
  return getmetatable(value)
end

local insert, foreach = table.insert, table.foreach

local safe_table = {
  concat = table.concat,
  foreach = function(t, f) return foreach(real_of[t] or t, f) end,
  foreachi = table.foreachi,
  getn = table.getn,
  insert = function(t, ...)
    if type(t) ~= "table" then bad_argument(1, "insert", "table", 1, t) end
    if real_of[t] then error(READONLY, 0) end
    return insert(t, ...)
  end,
  maxn = table.maxn,
  remove = table.remove,
  setn = table.setn,
  sort = table.sort,
}

-- Stopping or detuning the collector would outlast the script, so these options do nothing.
local tuning = {stop = 0, restart = 0, setpause = 200, setstepmul = 200}

local function safe_collectgarbage(option, argument)
  if option == nil then option = "collect" end
  if option == "count" or option == "collect" or option == "step" then
    return collectgarbage(option, tonumber(argument) or 0)
  end
  if tuning[option] then return tuning[option] end
  error("bad argument #1 to 'collectgarbage' (invalid option '" .. tostring(option) .. "')", 2)
end

-- Math: chance is the server's, so that a simulated one repeats itself.

local safe_math = {}
for name, value in next, math do safe_math[name] = value end
local random31 = host.random31

function safe_math.random(...)
  local count = select("#", ...)
  local low, high = ...
  local r = (random31() % 2147483647) / 2147483647
  if count == 0 then return r end
  if count > 2 then error("wrong number of arguments", 2) end
  low = tonumber(low) or bad_argument(1, "random", "number", count, low)
  if count == 1 then
    low, high = 1, floor(low)
    if low > high then error("bad argument #1 to 'random' (interval is empty)", 2) end
  else
    high = tonumber(high) or bad_argument(2, "random", "number", count, high)
    low, high = floor(low), floor(high)
    if low > high then error("bad argument #2 to 'random' (interval is empty)", 2) end
  end
  return floor(r * (high - low + 1)) + low
end

function safe_math.randomseed(...)
  local seed = tonumber((...)) or bad_argument(1, "randomseed", "number", select("#", ...), (...))
  host.seed(seed)
end

-- The globals

globals._G = env
globals._VERSION = _VERSION
globals.assert = assert
globals.collectgarbage = safe_collectgarbage
globals.error = error
globals.gcinfo = gcinfo
globals.getmetatable = safe_getmetatable
globals.ipairs = ipairs
globals.load = load_pieces
globals.loadstring = load_text
globals.next = safe_next
globals.pairs = safe_pairs
globals.pcall = function(...) return settle(pcall(...)) end
globals.rawequal = rawequal
globals.rawget = function(t, key)
  if type(t) ~= "table" then bad_argument(1, "rawget", "table", 1, t) end
  return rawget(real_of[t] or t, key)
end
globals.rawset = function(t, key, value)
  if type(t) ~= "table" then bad_argument(1, "rawset", "table", 1, t) end
  if real_of[t] then error(READONLY, 0) end
  return rawset(t, key, value)
end
globals.select = select
globals.setmetatable = safe_setmetatable
globals.tonumber = tonumber
globals.tostring = tostring
globals.type = type
globals.unpack = unpack
globals.xpcall = function(...)
  local f, handler = ...
  if select("#", ...) < 2 then error("bad argument #2 to 'xpcall' (value expected)", 2) end
  return handled(handler, pcall(f))
end

-- Text

local safe_string = {}
for name, value in next, string do safe_string[name] = value end
local rep = string.rep

function safe_string.rep(text, count)
  -- Lua's own goes round once for each copy, deaf to the count hook, before it finds out.
  if type(text) == "string" and tonumber(count) then
    if text == "" then return "" end
    if #text * tonumber(count) > memory_limit_kb * 1024 then error("not enough memory", 2) end
  end
  return rep(text, count)
end

globals.coroutine = protect(safe_coroutine)
globals.math = protect(safe_math)
local clock = host.clock
globals.os = protect{clock = function() return clock() end}
globals.string = protect(safe_string)
globals.table = protect(safe_table)
debug.getmetatable("").__index = safe_string
debug.getmetatable("").__metatable = protect{__index = globals.string}
setmetatable(globals, {__index = real_of[metatable_of_env].__index})

-- lua-enable-deprecated-api. All functions of ours share one environment, known by it.
if deprecated_api then
  local internal_env = getfenv(1)

  function globals.getfenv(f)
    if type(f) == "number" and f > 0 then f = f + 1 end
    local found = getfenv(f or 2)
    return found == internal_env and env or found
  end

  function globals.setfenv(f, new)
    if type(new) ~= "table" then bad_argument(2, "setfenv", "table", 2, new) end
    if type(f) == "number" and f > 0 then f = f + 1 end
    if f == 0 or getfenv(f) == internal_env then
      error("'setfenv' cannot change environment of given object", 2)
    end
    return setfenv(f, new)
  end

  function globals.newproxy(of)
    -- A metatable of its own could have a finalizer, which runs when no script does.
    if of then error("newproxy with a metatable is not available", 2) end
    return newproxy(false)
  end
end

-- While a library is being loaded, its globals are others.
function box.show_globals(others)
  getmetatable(env).__index = others or globals
  real_of[env] = others or globals
end

box.globals = globals
return box
