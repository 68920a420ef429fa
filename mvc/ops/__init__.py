"""One module a verb: a repository and plain values in, a frozen dataclass out; never prints."""
