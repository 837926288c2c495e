"""What runs inside a node of the system lab in the place of Proxmox's own programs.

Debian's Python of the node runs it, with no package of the project's but the embedded lab's texts and formats.
"""
