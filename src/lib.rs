//! arete runs one test over many machines. This crate is the library behind the program of that name.
//!
//! The program is one binary with two main roles. A *controller* holds the test. A *slave* runs on each lab machine,
//! keeps one TCP connection to the controller and runs what its schedule says. Both roles, the operator, the clients
//! and the node of a token ring are pure state machines ("sans-IO"). One poll loop, the reactor, connects a machine to
//! the real world. The tests connect the same machines to a simulated world instead.
//!
//! The library exists for the program and its tests, and changes with them. If you want a machine of your own, read
//! `examples/machine.rs` first: a chat server under the reactor and in a simulated world, in one file.
//!
//! # The contract of a machine
//!
//! A [`Machine`](machine::Machine) has two functions:
//!
//! ```text
//! fn handle(&mut self, now: Time, input: Input<'_>, out: &mut Outbox);
//! fn next_deadline(&self) -> Option<Time>;
//! ```
//!
//! An [`Input`](machine::Input) is something that happened: a connection was accepted, bytes arrived, a deadline
//! passed, a child exited. An [`Effect`](machine::Effect) is something to do: connect, send, start a process, append to
//! a file, exit. The machine pushes effects through the methods of an [`Outbox`](machine::Outbox).
//!
//! The machine promises:
//!
//! - It depends on its arguments alone. It reads no clock, socket, file, environment variable or random source, and it
//!   never iterates a hash map. The same inputs at the same times always give the same effects.
//! - It never blocks and never panics because of an input.
//! - `next_deadline` has no side effect. Its value changes only in a call of `handle`.
//!
//! The driver (the reactor or a simulator) promises:
//!
//! - [`Input::Begin`](machine::Input::Begin) is the first input. `now` never goes back.
//! - After each call of `handle` the driver takes all effects out, and carries them out in the order in which they were
//!   pushed, with one exception: everything that a turn writes to disk is written before anything that the turn sends
//!   goes out. Therefore a machine may write a fact and send its confirmation in one turn.
//! - [`Input::Deadline`](machine::Input::Deadline) comes as soon as possible after `next_deadline`, however busy the
//!   sockets are. It may come too early, so the machine compares the deadline with `now`.
//! - A connection gets bytes in order, cut anywhere, and at most one [`Input::Closed`](machine::Input::Closed). None
//!   comes if the machine closed the connection itself.
//!
//! Bytes cross this line, not messages, so a simulator also exercises the framing.
//!
//! # The loop that drives it
//!
//! [`Reactor::run`](reactor::Reactor::run) is this loop, with sockets, timers, signals and child processes in one
//! `poll`:
//!
//! ```text
//! handle(now, Begin)
//! loop {
//!     carry out the effects: first all writes to disk, then the rest, in order
//!     if the machine asked to exit: let the peers take what is queued, and return the exit code
//!     poll until something is ready, but at most until next_deadline()
//!     for each source that is ready: read until WouldBlock or its share of the turn is used, and handle(now, input)
//!     if next_deadline() has passed: handle(now, Deadline)
//! }
//! ```
//!
//! A driver for a test is shorter. This one has a machine that connects once and exits when the connection fails:
//!
//! ```
//! use arete::machine::{Address, Effect, Input, Machine, Outbox, Time};
//!
//! struct Once;
//!
//! impl Machine for Once {
//!     fn handle(&mut self, _now: Time, input: Input<'_>, out: &mut Outbox) {
//!         match input {
//!             Input::Begin => drop(out.connect(Address::Inet("node1:7000".into()))),
//!             Input::Closed { .. } => out.exit(1),
//!             _ => {}
//!         }
//!     }
//!
//!     fn next_deadline(&self) -> Option<Time> {
//!         None
//!     }
//! }
//!
//! let (mut machine, mut out, mut now) = (Once, Outbox::new(), Time::from_micros(0));
//! machine.handle(now, Input::Begin, &mut out);
//! let effects: Vec<Effect> = out.drain().collect();
//! let [Effect::Connect { conn, .. }] = effects[..] else { panic!("{effects:?}") };
//!
//! // The simulated network has no such host. Three seconds pass at once.
//! now = now + std::time::Duration::from_secs(3);
//! machine.handle(now, Input::Closed { conn, reason: "no route to host".into() }, &mut out);
//! assert_eq!(out.drain().collect::<Vec<_>>(), [Effect::Exit { code: 1 }]);
//! ```
//!
//! # The house
//!
//! A part may name the parts below it, and no part above it. `tests/layers.rs` reads the sources and checks this.
//!
//! ```text
//!                              main
//!                               |
//!                              cli   arguments, files, environment ---------------+
//!                               |                                                |
//!                             serve   a controller and a member in one process   |
//!                               |                                                |
//!    controller   slave   operator   member   client   ring                      |
//!         |         |        |         |        |       |                     reactor
//!    testfile  link  timeline  verdict  variables  text  exit_code        one poll loop
//!         |         |        |         |        |       |                        |
//!         +---------+------- session   names, liveness, clocks                   |
//!                               |                                                |
//!                             wire   messages as lines of JSON                   |
//!                               |                                                |
//!                            machine   Time, Input, Effect, Outbox, Machine -----+
//! ```
//!
//! Parts in one row do not know each other, with few exceptions in the row of `testfile`: `MAY_KNOW` in
//! `tests/layers.rs` is the exact list.
//!
//! The reactor knows [`machine`] only. It never sees a message.
//!
//! # The modules
//!
//! | module | what it has |
//! | --- | --- |
//! | [`machine`] | the interface between a machine and its driver: times, inputs, effects, deadlines |
//! | [`reactor`] | the poll loop that drives one machine on real sockets, processes, files and signals |
//! | [`wire`] | the messages, and [`Frames`](wire::Frames), which cuts a stream into lines within a bound |
//! | [`session`] | rules that both ends of a connection share: names, liveness, reconnects, clock offsets |
//! | [`link`] | the connection of a slave, member or operator to its controller |
//! | [`controller`] | the sessions, runs and rooms of a controller, and its ledger |
//! | [`slave`] | a slave and its part of a run |
//! | [`operator`] | hands tests to a controller, follows runs and fetches results |
//! | [`member`] | a client of a controller: it joins a room, does one thing there, and leaves |
//! | [`client`] | a command that sends one request to the slave that started it |
//! | [`serve`] | a member with a controller of its own, in one process (`--serve`) |
//! | [`ring`] | a node of the masterless token ring |
//! | [`testfile`] | reads a test file, and reports all of its errors |
//! | [`timeline`] | the events of a run, as files and as lines for people |
//! | [`verdict`] | the verdict of a round as an exit status and as a message |
//! | [`variables`] | replaces `@{...}` in the strings of a test |
//! | [`measure`] | measurements: units, figures and bounds |
//! | [`text`] | durations, lists and ranges as a person reads them |
//! | [`exit_code`] | the exit statuses of the program |
//!
//! `doc/ARCHITECTURE.md` in the repository follows a notify, a barrier arrival and a submitted test through the files,
//! and names the place that holds each invariant.

// Allowed in one place: system calls about signals and new processes that no safe wrapper offers (`reactor::kernel`).
#![warn(missing_docs)]
#![deny(unsafe_code)]

pub mod client;
pub mod controller;
pub mod exit_code;
pub mod graph;
pub mod link;
pub mod machine;
pub mod measure;
pub mod member;
pub mod operator;
pub mod reactor;
pub mod ring;
pub mod serve;
pub mod session;
pub mod slave;
pub mod testfile;
pub mod text;
pub mod timeline;
pub mod variables;
pub mod verdict;
pub mod wire;
