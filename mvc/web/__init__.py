"""Pages for people: self-contained HTML from what operations return."""
