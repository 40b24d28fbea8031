//! arete runs one test over many machines. This is the library behind the program of that name.
//!
//! Who may know whom, from the top down: the program's `cli` > [`controller`], [`slave`], [`operator`] > [`session`] > [`wire`],
//! [`machine`]. The reactor knows [`machine`] only: it never sees a message. `tests/layers.rs` keeps these rules.

// Allowed in one place: system calls about signals and new processes that no safe wrapper offers (`reactor::kernel`).
#![deny(unsafe_code)]

pub mod client;
pub mod controller;
pub mod exit_code;
pub mod link;
pub mod machine;
pub mod member;
pub mod operator;
pub mod reactor;
pub mod ring;
pub mod serve;
pub mod session;
pub mod slave;
pub mod spoken;
pub mod testfile;
pub mod timeline;
pub mod variables;
pub mod verdict;
pub mod wire;
