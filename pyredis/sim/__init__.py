"""Virtual time, network and disk: the same core under one seed."""
