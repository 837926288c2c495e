"""What a node is sent, stage by stage, decided by the state it is in; backup, window, test guest, way back."""
