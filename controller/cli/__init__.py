"""Entry points. The only room that reads the command line and the environment."""
