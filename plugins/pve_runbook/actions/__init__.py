"""Every change that the tool can make to a node, as data: name, argv, why, undo, bounds."""
