"""A repository: configuration, refs, working copy, revisions and history."""
