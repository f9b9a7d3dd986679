"""The gRPC health checking protocol, as far as a check needs it; the modules here are made when the package is built."""
