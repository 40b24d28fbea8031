//! What others know of a meeting, and what a meeting knows of others.

use std::rc::Rc;

/// What is known of those who have not come.
pub trait Outlook {
    /// Why this member cannot come to this meeting any more; `None`: it may, or nothing is known of it.
    fn barred(&self, meeting: &str, member: &str) -> Option<String>;
    /// How many members are compared to answer whether a count can be reached, beside those who are there.
    fn weight(&self) -> usize;
    /// Why a count cannot be reached any more with those who are there, and whose fault that is; `None`: it may be.
    fn unfillable(&self, meeting: &str, count: usize, there: &[&str]) -> Option<(Vec<String>, String)>;
}

/// A round that forms, for those who want to know who waits for whom.
#[derive(Debug, Clone, PartialEq)]
pub struct Forming {
    pub meeting: Rc<str>,
    pub there: Vec<Rc<str>>,
    /// Who has not come, or is away, by name.
    pub missing: Vec<Rc<str>>,
    /// How many more must come, whoever they are.
    pub more: usize,
}

/// A round that forms.
#[derive(Debug, PartialEq, Eq)]
pub struct Open<'a> {
    pub name: &'a str,
    /// How many are there, and of how many.
    pub there: usize,
    pub wanted: usize,
    /// Who is missing, as far as that is known by name.
    pub missing: Vec<&'a str>,
}
