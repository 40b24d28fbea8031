//! The knowledge of the run about the members that a meeting waits for, and the part of the meeting that it sees.

use std::rc::Rc;

/// Knowledge about missing members.
pub trait Outlook {
    /// Returns why this member cannot arrive any more. `None` if it may, or nothing is known.
    fn barred(&self, meeting: &str, member: &str) -> Option<String>;
    /// Returns how many members are compared to answer whether a count can be reached, besides those that have arrived.
    fn weight(&self) -> usize;
    /// Returns why a count cannot be reached any more by the members that have arrived, and the members that caused it.
    /// `None` if it may be.
    fn unfillable(&self, meeting: &str, count: usize, there: &[&str]) -> Option<(Vec<String>, String)>;
}

/// A round that forms, for the analysis of waits.
#[derive(Debug, Clone, PartialEq)]
pub struct Forming {
    pub meeting: Rc<str>,
    pub there: Vec<Rc<str>>,
    /// The missing members that are known by name, including disconnected ones.
    pub missing: Vec<Rc<str>>,
    /// How many more members are missing, under any name.
    pub more: usize,
}

/// A round that forms, for a status.
#[derive(Debug, PartialEq, Eq)]
pub struct Open<'a> {
    pub name: &'a str,
    /// How many members have arrived, and how many are expected.
    pub there: usize,
    pub wanted: usize,
    /// The missing members that are known by name.
    pub missing: Vec<&'a str>,
}
