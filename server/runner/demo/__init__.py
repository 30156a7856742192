"""The built-in demo model: plumbing, not wisdom."""
