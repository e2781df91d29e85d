-- Puts a Lua state together. Runs once, with everything of Lua still in reach.
--
-- Returns what the server calls: compile a text, run a script, load a library, run one of
-- its functions.

local sources, callables, hook_interval, memory_limit_kb, deprecated_api, for_functions = ...

local host = {}
for name, callable in pairs(callables) do host[name] = python.as_function(callable) end

local function include(name, ...)
  return assert(loadstring(sources[name], "=(redis)"))(...)
end

local box = include("sandbox", host, hook_interval, memory_limit_kb, deprecated_api)
local api = include("redis", box)
for _, name in ipairs{"cjson", "cmsgpack", "struct", "bit"} do
  box.globals[name] = box.protect(include(name, box))
end
local load_library
if for_functions then
  load_library = include("functions", box, api)
else
  for name, value in pairs(api.only_eval) do api.redis[name] = value end
end
box.globals.redis = box.protect(api.redis)
box.watch()
local everything = _G
for name in pairs(everything) do everything[name] = nil end
return box.compile, api.run_script, api.run_function, load_library
