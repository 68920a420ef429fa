"""A fleet on one machine: a centre, its server, and devices that are processes of their own."""
