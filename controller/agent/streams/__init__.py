"""The output of containers: from the pipes that their shims write into, to log files. Decides nothing about containers.

`pipes` makes the FIFOs, `journal` moves what is in them, `cri` formats it, `logs` names, rotates and reads the files, `capture`
puts these together for one container, and `hub` does so for the node.
"""
