//! Where a node of a test listens.

/// Ports that the system chooses, so that nodes do not meet.
pub(crate) const FREE_PORTS: [&str; 6] =
    ["--stratum", "127.0.0.1:0", "--stratum-v2", "127.0.0.1:0", "--api", "127.0.0.1:0"];
