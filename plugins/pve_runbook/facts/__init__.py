"""What is known of one node, of its guests and of its network (``host.pve``), and what of it has to stay as it was."""
