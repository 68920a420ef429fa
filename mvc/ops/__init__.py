"""One module a verb: a repository in, a result out. Nothing here prints."""
