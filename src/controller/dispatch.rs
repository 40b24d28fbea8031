//! What the controller does with what it hears, by who speaks and what is due: each file asks the owners of the state,
//! the parts in `session`, `run`, `room` and `host`, and carries out what they decide. No part knows these files.

mod absences;
mod answers;
mod budget;
mod clients;
mod elsewhere;
mod files;
mod members;
mod operators;
mod pieces;
mod recovery;
mod replay;
mod slaves;
mod status;
mod submissions;
