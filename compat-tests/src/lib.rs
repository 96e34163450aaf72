//! Stock ZooKeeper clients and the upstream server, run against Quoll.
