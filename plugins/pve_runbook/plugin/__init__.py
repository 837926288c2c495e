"""The pytest plugin: options, hooks, the order of the steps, approvals."""
