//! The signals that this process receives.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use mio::{Interest, Registry};
use signal_hook::consts::{SIGCHLD, SIGWINCH};
use signal_hook_mio::v1_0::Signals as Source;

use super::kernel;
use super::tokens::{SourceKind, token};
use crate::machine::Signal;

/// The signals that have arrived.
#[derive(Default)]
pub struct Arrived {
    /// The signals for the machine, by number.
    pub signals: Vec<Signal>,
    /// A child has ended or stopped.
    pub child: bool,
    /// The size of the terminal has changed.
    pub resized: bool,
}

/// Notes that one of some signals has arrived, also while no loop runs. Otherwise one between two loops would be lost.
#[derive(Debug, Default)]
pub struct Latch(Arc<AtomicBool>);

impl Latch {
    /// Returns a latch for these signals. A SIGHUP that is ignored stays ignored.
    pub fn new(signals: &[Signal]) -> io::Result<Latch> {
        let latch = Latch::default();
        for signal in signals.iter().filter(|signal| !stays_ignored(**signal)) {
            signal_hook::flag::register(signal.0, latch.0.clone())?;
        }
        Ok(latch)
    }

    /// Returns whether a signal has arrived.
    pub fn has_caught(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

/// nohup(1) makes a program ignore SIGHUP, so that it continues after the terminal is closed.
fn stays_ignored(signal: Signal) -> bool {
    signal == Signal::HUP && kernel::is_ignored(signal)
}

pub struct Signals {
    source: Source,
    wanted: Vec<Signal>,
}

impl Signals {
    pub fn new(registry: &Registry, wanted: &[Signal]) -> io::Result<Signals> {
        let ours = [SIGCHLD, SIGWINCH];
        let heard = wanted.iter().filter(|signal| !stays_ignored(**signal)).map(|signal| signal.0);
        let mut source = Source::new(heard.chain(ours))?;
        registry.register(&mut source, token(SourceKind::Signals, 0), Interest::READABLE)?;
        Ok(Signals { source, wanted: wanted.to_vec() })
    }

    pub fn arrived(&mut self) -> Arrived {
        let mut arrived = Arrived::default();
        for number in self.source.pending() {
            arrived.child |= number == SIGCHLD;
            arrived.resized |= number == SIGWINCH;
            if self.wanted.contains(&Signal(number)) {
                arrived.signals.push(Signal(number));
            }
        }
        arrived.signals.sort();
        arrived
    }
}
