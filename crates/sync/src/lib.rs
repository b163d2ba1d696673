//! The replication session and query extension as a state machine.
