"""The project's own tests."""

pytest_plugins = ["pytester"]
