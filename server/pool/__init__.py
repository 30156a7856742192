"""The pool: what organisations share. Votes in, releases out, answers made anew."""
