"""How data is put down as bytes, in Redis' own formats, and how those are kept on a disk.

Reading order: ``lzf`` (compression), ``encoding`` (lengths and strings), ``listpack`` and
``legacy`` (small collections in one block), ``streams``, ``field_ttls``, ``values`` (one value:
DUMP and RESTORE) and ``payload``, ``rdb`` with ``writer`` and ``reader`` (a whole file),
``dataset`` (what was read, until it is complete).

Then what a server does with that: ``store`` (a file in the place of another), ``loading``,
``child`` (the one process beside the server), ``saver`` (when to save, and what follows from it).

The append-only file: ``manifest`` (which files it is made of), ``aof`` (its live end),
``aof_load`` (its syntax) and ``aof_loading``, ``aof_files`` (where they are), ``aof_commands``
(all data as commands) and ``aof_base``, ``aof_rewriter``, and ``aof_keeper``, which holds them
together.

All of these see disks and children through ports; behind them are ``disk`` and ``snapshot``, the
only ones here with I/O.
"""
