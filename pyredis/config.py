"""The configuration of one server: values as attributes, CONFIG GET and CONFIG SET.

`config.maxmemory` is a plain attribute, as cheap as any. The table of directives behind the
attributes is `pyredis.config_table`, the kinds of values are in `pyredis.config_types`, and
files are read and rewritten by `pyredis.configfile`. No I/O happens here: parts of the server
that must act on a change subscribe to it, and may refuse it.

CONFIG SET takes all pairs or none. It works in three steps: check every name, parse every
value, then store all of them and call the subscribers. When one of these refuses, the old
values return and the subscribers called so far are called again, so that they can take back
what they did.
"""

from collections.abc import Callable, Iterable, Sequence
from posixpath import join, normpath
from typing import Any, NamedTuple

from pyredis.config_table import BY_NAME, TABLE, Change, Directive, Settings, config_docs
from pyredis.config_types import (
    BufferLimit,
    BufferLimits,
    ConfigError,
    PrimaryAddress,
    SavePoint,
    decode,
    encode,
)
from pyredis.glob import compile_glob
from pyredis.quoting import split_args

__all__ = [
    "BY_NAME",
    "TABLE",
    "BufferLimit",
    "BufferLimits",
    "Change",
    "Config",
    "ConfigError",
    "ConfigLoadingError",
    "Directive",
    "PrimaryAddress",
    "SavePoint",
    "SentinelLine",
    "Settings",
    "config_docs",
    "decode",
    "encode",
]

Callback = Callable[[], None]


class ConfigLoadingError(ConfigError):
    """The directive cannot be set while the data set is being loaded (reply -LOADING)."""


class SentinelLine(NamedTuple):
    """A `sentinel ...` line of the file, for Sentinel to interpret."""

    number: int
    text: str
    words: tuple[str, ...]


def _join(base: str, path: str) -> str:
    return normpath(join(base, path))


class Config(Settings):
    """All settings of one server, at their defaults to begin with.

    `directory` is the working directory that `dir` starts from. `resolve_dir(base, path)`
    gives the absolute path of a new `dir` and raises ConfigError if it is no directory; left
    out, paths are joined without a look at the disk. `warn` gets lines for the log.
    """

    def __init__(
        self,
        directory: str = "/",
        resolve_dir: Callable[[str, str], str] = _join,
        warn: Callable[[str], None] | None = None,
    ) -> None:
        self.__dict__.update((row.attribute, row.default) for row in TABLE)
        self.dir = directory
        # Directives that may be repeated and have no value of their own:
        self.users: list[tuple[str, ...]] = []  # name, rules ...
        self.modules: list[tuple[str, ...]] = []  # path, arguments ...
        self.renamed_commands: list[tuple[str, str]] = []  # old, new; "" removes
        self.module_configs: dict[str, tuple[str, ...]] = {}  # "module.name": words
        self.sentinel_lines: list[SentinelLine] = []
        self._resolve_dir = resolve_dir
        self._warn = warn
        self._callbacks: dict[str, list[Callback]] = {}

    def subscribe(self, names: Iterable[str], callback: Callback) -> None:
        """Has `callback` called after CONFIG SET changed any of the directives.

        It is called once a CONFIG SET, and reads the new values from the config. It may raise
        ConfigError to refuse them; then it is called a second time, with the old values back.
        Raises KeyError for a name that is no directive.
        """
        for name in names:
            self._callbacks.setdefault(BY_NAME[name].name, []).append(callback)

    def show(self, name: str) -> str:
        """The value of one directive as CONFIG GET prints it. Raises KeyError."""
        row = BY_NAME[name]
        return row.kind.show(getattr(self, row.attribute))

    def get(self, patterns: Iterable[str]) -> list[tuple[str, str]]:
        """What CONFIG GET prints: names that match any of the globs, and their values.

        Case is ignored. An alias is a name like any other, so `*-priority` gives two lines. A
        pattern without glob characters must be the whole name; it alone finds hidden
        directives, and comes back spelled as it was asked for.
        """
        found: dict[str, tuple[str, str]] = {}
        for pattern in patterns:
            if not any(char in pattern for char in "[*?"):
                name = pattern.lower()
                if name in BY_NAME:
                    found.setdefault(name, (pattern, self.show(name)))
                continue
            matches = compile_glob(encode(pattern), nocase=True)
            for name, row in BY_NAME.items():
                if not row.hidden and name not in found and matches(name.encode()):
                    found[name] = name, self.show(name)
        return list(found.values())

    def load(self, name: str, words: Sequence[str], first: bool = True) -> None:
        """Sets a directive from the words of a line in a file, whatever its mutability.

        `first` tells that no line before named the same directive. Subscribers are not called.
        Raises KeyError for an unknown name and ConfigError for a bad value.
        """
        row = BY_NAME[name]
        if not row.kind.several_words and len(words) != 1:
            raise ConfigError("wrong number of arguments")
        if row.kind.several_words and len(words) == 1 and words[0]:
            try:
                words = [decode(word) for word in split_args(encode(words[0]))]
            except ValueError as error:
                raise ConfigError("Unbalanced quotes in configuration line") from error
        value = row.kind.load(words, getattr(self, row.attribute), first)
        self.__dict__[row.attribute] = self._settled(row, value)

    def _settled(self, row: Directive, value: Any) -> Any:
        return self._resolve_dir(self.dir, value) if row.name == "dir" else value

    def set(
        self, pairs: Sequence[tuple[str, str]], *, protected: bool = False, loading: bool = False
    ) -> None:
        """CONFIG SET: all pairs of names and values, or ConfigError and nothing has changed.

        `protected` allows the protected directives, which depends on the client and on
        enable-protected-configs. `loading` tells that the data set is being loaded.
        """
        rows = self._allowed_rows(pairs, protected, loading)
        old = {row.attribute: self.__dict__[row.attribute] for row in rows.values()}
        touched: dict[str, Directive] = {}
        for name, text in ((name.lower(), text) for name, text in pairs):
            row = rows[name]
            words = [text] if not row.kind.several_words else text.split(" ") if text else []
            try:
                value = row.kind.parse(words, self.__dict__[row.attribute])
                value = self._settled(row, value)
            except ConfigError as error:
                self.__dict__.update(old)
                raise _failed(name, error) from error
            if value != old[row.attribute] or row.always_applied:
                touched[name] = row
            self.__dict__[row.attribute] = value
        self._apply(touched, old)

    def _allowed_rows(
        self, pairs: Sequence[tuple[str, str]], protected: bool, loading: bool
    ) -> dict[str, Directive]:
        rows: dict[str, Directive] = {}
        for name, _ in pairs:
            row = BY_NAME.get(name.lower())
            if row is None:
                raise ConfigError(
                    f"Unknown option or number of arguments for CONFIG SET - '{name}'"
                )
            if row.change is Change.AT_START:
                raise _failed(name, "can't set immutable config")
            if row.change is Change.PROTECTED and not protected:
                raise _failed(name, "can't set protected config")
            if row.not_loading and loading:
                raise ConfigLoadingError("Redis is loading the dataset in memory")
            if name.lower() in rows:
                raise _failed(name, "duplicate parameter")
            rows[name.lower()] = row
        return rows

    def _apply(self, touched: dict[str, Directive], old: dict[str, Any]) -> None:
        called: list[Callback] = []
        for name, row in touched.items():
            for callback in self._callbacks.get(row.name, ()):
                if callback in called:
                    continue
                called.append(callback)
                try:
                    callback()
                except ConfigError as error:
                    self._warned(
                        "Failed applying new configuration. Possibly related to new "
                        f"{name} setting. Restoring previous settings."
                    )
                    self.__dict__.update(old)
                    self._restore(called)
                    raise _failed(name, error) from error

    def _restore(self, called: Iterable[Callback]) -> None:
        for callback in called:
            try:
                callback()
            except ConfigError as error:
                self._warned(f"Failed applying restored failed CONFIG SET command: {error}")

    def _warned(self, line: str) -> None:
        if self._warn is not None:
            self._warn(line)


def _failed(name: str, reason: object) -> ConfigError:
    message = f"CONFIG SET failed (possibly related to argument '{name}')"
    return ConfigError(f"{message} - {reason}" if str(reason) else message)
