//! Replication of the CommitLog from a master to its slaves (Apache's `DefaultHAService`).
