//! The certificates of a test's machines, as `arete pki` makes them.

use std::path::PathBuf;

use super::Place;

/// An authority in the directory `lab` of a place.
pub struct Pki<'a> {
    place: &'a Place,
}

impl<'a> Pki<'a> {
    pub fn new(place: &'a Place) -> Pki<'a> {
        place.arete(["pki", "init", "lab"]).run().exits_with(0);
        Pki { place }
    }

    /// A controller's certificate for these addresses, ready for `--tls`.
    pub fn controller(&self, addresses: &[&str]) -> PathBuf {
        let words = addresses.iter().flat_map(|address| ["--address", *address]);
        self.issue(&["controller", "--controller"].into_iter().chain(words).collect::<Vec<_>>())
    }

    /// A machine's certificate.
    pub fn machine(&self, name: &str) -> PathBuf {
        self.issue(&[name])
    }

    /// The directory that `arete pki issue lab` makes for these arguments, the name first.
    pub fn issue(&self, words: &[&str]) -> PathBuf {
        self.place.arete(["pki", "issue", "lab"].iter().chain(words)).run().exits_with(0);
        self.place.path("lab").join(words[0])
    }

    pub fn revoke(&self, name: &str) {
        self.place.arete(["pki", "revoke", "lab", name]).run().exits_with(0);
    }
}
