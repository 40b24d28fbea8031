//! The time line of a run, as a controller writes it and as whoever follows the run reads and shows it.

pub mod event;
mod folded;
pub mod progress;
pub mod view;
mod words;
