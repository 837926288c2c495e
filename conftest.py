"""Loads the plugin, nothing else (a no-op where the package is installed)."""

pytest_plugins = ["pve_runbook.plugin.plugin"]
