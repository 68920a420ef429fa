"""One module a command; `mvc.cli.table` names them, and each is loaded only when it is run."""
