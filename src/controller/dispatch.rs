//! What the controller does with what it hears, by who speaks and what is due: each file asks the owners of the state,
//! the parts in `session`, `run`, `room` and `host`, and carries out what they decide. No part knows these files.

mod absences;
mod accepted;
mod authorization;
mod charges;
mod clients;
mod concerns;
mod elsewhere;
mod files;
mod line_limits;
mod members;
mod operators;
mod pieces;
mod queue;
mod recovery;
mod resumption;
mod rewrite;
mod shortage;
mod slaves;
mod status;
mod submissions;
