"""The doors: command lines, hooks, resolvers and one-line errors.

Everything that knows how a user speaks to us is here.
"""
