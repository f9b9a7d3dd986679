"""The cluster's work: which node a Container gets, and what becomes of it when its node is lost. Knows nothing of containerd."""
