//! The questions of the machine about directories. They are answered in order, a little in each turn of the loop.

use std::collections::VecDeque;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::clock::now;
use super::errors::system_error;
use super::list::Walk;
use super::page;
use super::pending::Pending;
use crate::machine::{Input, ReadId};

/// The time for directories in one turn. A step that was begun is finished.
const LISTS_OF_A_TURN: Duration = Duration::from_millis(10);

/// The questions that are not answered yet.
#[derive(Default)]
pub struct Listings(VecDeque<(ReadId, Listing)>);

enum Listing {
    Walk(Box<Walk>),
    Page { directory: PathBuf, after: String, most: usize },
}

impl Listings {
    /// Begins a list by patterns. Returns the answer if it cannot begin.
    pub fn walk(&mut self, read: ReadId, directory: &Path, patterns: &[String]) -> Option<Pending> {
        match Walk::new(directory, patterns) {
            Ok(walk) => {
                self.0.push_back((read, Listing::Walk(Box::new(walk))));
                None
            }
            Err(error) => Some(Pending::Input(Input::Listed { read, result: Err(error) })),
        }
    }

    /// Adds the question for a page.
    pub fn page(&mut self, read: ReadId, directory: PathBuf, after: String, most: usize) {
        self.0.push_back((read, Listing::Page { directory, after, most }));
    }

    /// Whether a question is open.
    pub fn any(&self) -> bool {
        !self.0.is_empty()
    }

    /// Reads directories for a while, and pushes the answers.
    pub fn go_on(&mut self, answered: &mut VecDeque<Pending>) {
        let until = now() + LISTS_OF_A_TURN;
        while now() < until
            && let Some((read, mut listing)) = self.0.pop_front()
        {
            match listing.step(read) {
                Some(answer) => answered.push_back(Pending::Input(answer)),
                None => self.0.push_front((read, listing)),
            }
        }
    }
}

impl Listing {
    /// Does one step. Returns the answer once it is known.
    fn step(&mut self, read: ReadId) -> Option<Input<'static>> {
        match self {
            Listing::Walk(walk) => walk.step().map(|found| Input::Listed { read, result: Ok(found) }),
            Listing::Page { directory, after, most } => {
                let page = page::page(directory, after, *most).map_err(|error| system_error(&error));
                Some(Input::Paged { read, result: page })
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn many_questions_are_answered_a_few_in_a_turn() {
        let directory = std::env::temp_dir().join(format!("arete-listings-{}", std::process::id()));
        fs::create_dir_all(&directory).expect("a directory can be made");
        (0..5_000).for_each(|file| fs::write(directory.join(file.to_string()), "").expect("a file can be made"));
        let (mut listings, mut answered) = (Listings::default(), VecDeque::new());
        assert!(listings.walk(ReadId(0), &directory, &["**".to_owned()]).is_none());
        (1..500).for_each(|read| listings.page(ReadId(read), directory.clone(), String::new(), 500));
        let mut turns = 0;
        while listings.any() {
            listings.go_on(&mut answered);
            turns += 1;
        }
        fs::remove_dir_all(&directory).expect("it can be removed");
        assert_eq!(answered.len(), 500);
        assert!(turns > 10, "{turns}");
        let Some(Pending::Input(Input::Listed { result: Ok(found), .. })) = answered.pop_front() else {
            panic!("they are answered in order");
        };
        assert_eq!(found.files.len(), 5_000);
        assert!(found.files.is_sorted());
    }
}
