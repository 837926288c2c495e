"""Which devices a node has, and what the processes of its guests have open of them."""
