//! What is said when the processes of this system cannot be looked at: once, however often it is noticed.

use std::sync::atomic::{AtomicBool, Ordering};

/// It was said.
static SAID: AtomicBool = AtomicBool::new(false);

/// The whole of what is wrong, for why it is.
pub fn in_words(why: &str) -> String {
    format!("{why}: processes that leave the process group of their command are neither found nor ended")
}

/// Says it in the log, once.
pub fn warn(why: &str) {
    if !SAID.swap(true, Ordering::Relaxed) {
        log::warn!("{}", in_words(why));
    }
}
