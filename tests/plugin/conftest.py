"""A project in a temporary folder for each test that asks for one."""

from inner_project import project, write

__all__ = ["project", "write"]
