//! The slaves of an embedded run: processes on this machine that the controller starts, and that end with it.

use std::collections::BTreeMap;
use std::path::Path;

use super::Local;
use crate::machine::{ChildId, Command, Outbox, Signal};

/// The slaves that the controller has started.
#[derive(Default)]
pub struct Launch {
    children: BTreeMap<ChildId, usize>,
}

impl Launch {
    /// Starts a slave.
    pub fn start(&mut self, local: &Local, ix: usize, name: &str, results: &Path, out: &mut Outbox) {
        let mut argv = vec![local.arete.display().to_string(), "slave".to_owned(), "--once".to_owned()];
        argv.extend(["--controller".to_owned(), local.address.clone(), "--name".to_owned(), name.to_owned()]);
        argv.extend(["--dir".to_owned(), local.dir.join(name).display().to_string()]);
        if local.keep {
            argv.push("--keep".to_owned());
        }
        // Not as an argument nor in the environment: others can read the one, and commands inherit the other.
        argv.push("--secret".to_owned());
        let child = out.spawn(Command {
            argv,
            stdin: Some(local.secret.clone().into_bytes()),
            stderr: Some(results.join(name).join("arete.log")),
            dies_with_us: true,
            ..Command::default()
        });
        self.children.insert(child, ix);
    }

    /// A child has ended or could not start: which slave it was.
    pub fn ended(&mut self, child: ChildId) -> Option<usize> {
        self.children.remove(&child)
    }

    pub fn is_empty(&self) -> bool {
        self.children.is_empty()
    }

    /// Signals every slave that still runs.
    pub fn kill(&self, signal: Signal, out: &mut Outbox) {
        for &child in self.children.keys() {
            out.kill_group(child, signal);
        }
    }
}
