"""Health checks: `monitor` knows when, `prober` asks, `state` (pure) makes health of the answers. What follows is `plan`'s affair."""
