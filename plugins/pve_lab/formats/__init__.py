"""What Proxmox VE's files and tools say, read and written as text: nothing here knows a lab, and all labs use it."""
