"""`make bench`: how fast and how cheap, each figure beside a baseline that was measured in the same run.

The same real parts as in the tests. What is measured is what a user sees: objects applied to the API server, statuses read from a watch.
"""
