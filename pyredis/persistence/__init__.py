"""How data is put down as bytes, in Redis' own formats, and how those are kept on a disk.

Reading order: ``lzf`` (compression), ``encoding`` (lengths and strings), ``listpack`` and
``legacy`` (small collections in one block), ``streams``, ``values`` (one value: DUMP and
RESTORE) and ``payload``, ``rdb`` with ``writer`` and ``reader`` (a whole file), ``dataset`` (what
was read, until it is complete).

Then what a server does with that: ``store`` (a file in the place of another), ``loading``,
``saver`` (when to save, and what follows from it). They see disks and children through ports;
behind these are ``disk`` and ``snapshot``, the only ones here with I/O.
"""
