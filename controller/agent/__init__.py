"""One node's work: what is declared is checked against what containerd has, and the difference is acted on.

`plan` decides and does nothing else; actions change containerd and decide nothing; the status writer alone writes a status.
"""
