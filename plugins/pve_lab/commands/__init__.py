"""The simulated commands: what a node's shell finds besides the interpreter's own builtins."""
