//! Inputs that wait for their turn to reach the machine.
//!
//! They own their bytes, because the buffers that they came from are used again.

use crate::machine::{EarId, Input, ReadId, SystemError};

/// An input that waits.
pub enum Pending {
    Input(Input<'static>),
    Read(ReadId, Result<Vec<u8>, SystemError>),
    Overheard(EarId, Vec<u8>),
}
