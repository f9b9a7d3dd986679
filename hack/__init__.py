"""Tools for working on Tallyman; nothing in here is shipped."""
