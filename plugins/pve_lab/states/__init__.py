"""The starting states of the lab by where they come from; pve_lab.scenarios has them all."""
