"""Pure translation between our API and the OCI's: runtime spec, image references, exits and errors. No input or output."""
