//! Scenarios of a client.
