"""How data is put down as bytes: Redis' own formats, read and written without I/O.

Reading order: ``lzf`` (compression), ``encoding`` (lengths and strings), ``listpack`` and
``legacy`` (small collections in one block), ``streams``, ``values`` (one value: DUMP and
RESTORE), ``rdb`` (a whole file), ``dataset`` (what was read, until it is complete).
"""
