-- Loading of function libraries.
--
-- A library's text runs once, and may do nothing then but register functions and write to
-- the log: its globals are only these. Each function is handed to the server with what was
-- said about it; the server keeps it and calls it later, when the globals are the usual ones.

local box, api = ...
local host, protect, complain = box.host, box.protect, api.complain
local error, select, tostring, type, next, rawget = error, select, tostring, type, next, rawget
local lower, setmetatable, xpcall = string.lower, setmetatable, xpcall

local function is_text(value) return type(value) == "string" or type(value) == "number" end

local function flags_of(table_of_flags)
  if type(table_of_flags) ~= "table" then
    complain("ERR flags argument to redis.register_function must be a table representing function flags")
  end
  local flags = ""
  local at = 1
  local flag = rawget(table_of_flags, 1)
  while flag ~= nil do
    if type(flag) ~= "string" then complain("ERR unknown flag given") end
    flags = flags .. flag .. "\n"
    at = at + 1
    flag = rawget(table_of_flags, at)
  end
  return flags
end

local function described(arguments)
  local name, callback, description, flags
  for key, value in next, arguments do
    if not is_text(key) then
      complain("ERR named argument key given to redis.register_function is not a string")
    end
    key = lower(tostring(key))
    if key == "function_name" then
      if not is_text(value) then
        complain("ERR function_name argument given to redis.register_function must be a string")
      end
      name = tostring(value)
    elseif key == "description" then
      if not is_text(value) then
        complain("ERR description argument given to redis.register_function must be a string")
      end
      description = tostring(value)
    elseif key == "callback" then
      if type(value) ~= "function" then
        complain("ERR callback argument given to redis.register_function must be a function")
      end
      callback = value
    elseif key == "flags" then
      flags = flags_of(value)
    else
      complain("ERR unknown argument given to redis.register_function")
    end
  end
  if not name then complain("ERR redis.register_function must get a function name argument") end
  if not callback then complain("ERR redis.register_function must get a callback argument") end
  return name, callback, description, flags
end

local function register_function(...)
  local count = select("#", ...)
  local name, callback, description, flags = ...
  if count == 1 then
    if type(name) ~= "table" then
      complain("ERR calling redis.register_function with a single argument is only applicable "
        .. "to Lua table (representing named arguments).")
    end
    name, callback, description, flags = described(name)
  elseif count == 2 then
    if not is_text(name) then
      complain("ERR first argument to redis.register_function must be a string")
    end
    if type(callback) ~= "function" then
      complain("ERR second argument to redis.register_function must be a function")
    end
    name = tostring(name)
  else
    complain("ERR wrong number of arguments to redis.register_function")
  end
  local problem = host.register(name, callback, description or false, flags or "")
  if problem then complain(problem) end
end

local function nonexistent(_, name)
  error("Script attempted to access nonexistent global variable '" .. tostring(name) .. "'", 2)
end

local strict = {__index = nonexistent}
local while_loading = {
  log = api.redis.log, register_function = register_function,
  REDIS_VERSION = api.redis.REDIS_VERSION, REDIS_VERSION_NUM = api.redis.REDIS_VERSION_NUM,
  LOG_DEBUG = 0, LOG_VERBOSE = 1, LOG_NOTICE = 2, LOG_WARNING = 3,
}
local globals_while_loading = setmetatable(
  {redis = protect(setmetatable(while_loading, strict))}, strict
)

-- Run a library's chunk. Returns the text of an error, or nothing.
return function(chunk)
  box.show_globals(globals_while_loading)
  local ok, failure = xpcall(chunk, api.on_error)
  box.show_globals(nil)
  box.absolve()
  if ok then return nil end
  return type(failure) == "table" and failure.text or "ERR " .. tostring(failure)
end
