//! Handles inputs, with a file for each kind of speaker and of deadline. Each file asks the owners of the state, in
//! `session`, `run`, `room` and `host`, and carries out what they decide. The owners must not know these files.

mod absences;
mod answers;
mod budget;
mod clients;
mod elsewhere;
mod files;
mod keeping;
mod members;
mod operators;
mod pieces;
mod recovery;
mod replay;
mod slaves;
mod status;
mod submissions;
