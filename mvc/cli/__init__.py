"""The command line: arguments in, one call into `ops`, text or JSON out."""
