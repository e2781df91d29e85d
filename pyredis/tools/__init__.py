"""Programs for operators: look into files, check and repair them, back them up.

They are a shell like ``pyredis.net``: they read files, sockets and the clock. What they find out
comes from the same pure readers that the server loads its data with (``pyredis.persistence``).
"""
