"""What travels on a connection: the upper layer, PDUs, values, messages, command sets."""
