"""Texts that a directive refuses. Each check returns Redis' reason, or None for a good text."""

import re


def _base_name(value: str, directive: str, thing: str) -> str | None:
    if "/" in value or "\\" in value:
        return f"{directive} can't be a path, just a {thing}"
    return None


def dbfilename(value: str) -> str | None:
    """A file name without a path."""
    return _base_name(value, "dbfilename", "filename")


def appendfilename(value: str) -> str | None:
    """A file name without a path, not empty."""
    if not value:
        return "appendfilename can't be empty"
    return _base_name(value, "appendfilename", "filename")


def appenddirname(value: str) -> str | None:
    """A directory name without a path, not empty."""
    if not value:
        return "appenddirname can't be empty"
    return _base_name(value, "appenddirname", "dirname")


def hostname(value: str) -> str | None:
    """Letters, digits, hyphens and dots, fewer than 256."""
    if len(value.encode("utf-8", "surrogateescape")) >= 256:
        return "Hostnames must be less than 256 characters"
    if re.fullmatch(r"[A-Za-z0-9.-]*", value) is None:
        return "Hostnames may only contain alphanumeric characters, hyphens or dots"
    return None


def nodename(value: str) -> str | None:
    """Anything but the characters that separate fields on the cluster bus."""
    if re.search(r"[!#$%&()*+:;<>?@\[\]^{|}~]", value):
        return "Announced human node name contained invalid character"
    return None


_VARIABLE = re.compile(r"\{\{|\{([a-z-]*)\}|\{", re.ASCII)
_VARIABLES = {"listen-addr", "port", "tls-port", "config-file"}
_VARIABLES_EMPTY = {"title", "server-mode", "unixsocket"}  # or possibly so, which is enough


def title_template(value: str) -> str | None:
    """Known variables in braces (`{{` is a brace), and not blank once they are filled in."""
    filled = ""
    at = 0
    for found in _VARIABLE.finditer(value):
        variable = found[1]
        filled += value[at : found.start()]
        at = found.end()
        if found[0] == "{{" or variable in _VARIABLES:
            filled += "{"
        elif variable not in _VARIABLES_EMPTY:
            return "template format is invalid or contains unknown variables"
    if not (filled + value[at:]).strip(" \t\r\n"):
        return "template format is invalid or contains unknown variables"
    return None
