//! The time line of a run: the events that a controller records, and how commands show them to people.

pub mod event;
mod folded;
pub mod progress;
pub mod view;
mod words;
