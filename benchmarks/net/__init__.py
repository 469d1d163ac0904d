"""Links that are slow, lossy or broken on purpose, for benchmarks and tests.

shape          what one direction does to what it carries: a pure function of sizes and time
forwarder      a TCP forwarder on loopback: needs nothing; its parts are way and connection
packet_link    IP packets between two TUN devices: needs root and /dev/net/tun
namespaces     the two network namespaces around it, and commands inside
"""
