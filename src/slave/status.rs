//! The status line that a slave gives to the program that supervises its process.

use crate::link::Link;
use crate::machine::{Address, Outbox};

/// The contents of the last status line.
#[derive(Debug, Default)]
pub(super) struct Status {
    said: bool,
    up: bool,
    stops: bool,
    run: Option<String>,
    trouble: Option<String>,
}

impl Status {
    /// Sends the status line if something in it has changed. `stops`: the slave is about to exit.
    pub(super) fn update(
        &mut self,
        controller: &Address,
        link: &Link,
        run: Option<&str>,
        stops: bool,
        out: &mut Outbox,
    ) {
        let (up, trouble) = (link.up(), link.trouble());
        let same = (self.said, self.up, self.stops) == (true, up, stops);
        if same && self.run.as_deref() == run && self.trouble.as_deref() == trouble {
            return;
        }
        *self = Status { said: true, up, stops, run: run.map(str::to_owned), trouble: trouble.map(str::to_owned) };
        let mut line = match trouble {
            _ if up => format!("connected to {controller}"),
            Some(trouble) if link.is_refused() => format!("refused by {controller}: {trouble}"),
            Some(trouble) => format!("no controller at {controller}: {trouble}"),
            None => format!("connecting to {controller}"),
        };
        if let Some(run) = run {
            line = format!("{line}, run {run}");
        }
        out.status(if stops { format!("stopping, {line}") } else { line });
    }
}
