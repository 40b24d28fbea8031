//! What happened, on its way to the machine.

use crate::machine::{EarId, Input, ReadId};

/// What happened, on its way to the machine.
pub enum Pending {
    Input(Input<'static>),
    Read(ReadId, Result<Vec<u8>, String>),
    Overheard(EarId, Vec<u8>),
}
