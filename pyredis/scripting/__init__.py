"""Scripts of clients, in Lua 5.1: EVAL and its kin, and function libraries.

Reading order, simple to complex:

    shebang.py     the first line of a script or library: engine, name, flags
    bytecode.py    one change to compiled chunks: no tail calls
    arithmetic.py  what Lua cannot compute: bits, floats in bytes, chance
    structs.py     the `struct` library
    convert.py     Python's replies as Lua values
    lua/*.lua      the Lua side: walls, the redis table, the libraries
    sandbox.py     one Lua state: memory, compiling, running
    run.py         the run of one script, and what it may do
    calls.py       redis.call: from a script into the engine
    functions.py   libraries and their functions
    manager.py     what the engine holds: script cache, libraries, the running script

Nothing here is imported before the first script comes, but for the manager: lupa takes
longer to load than the rest of the server.
"""
