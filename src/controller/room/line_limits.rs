//! Lines that are longer than others, because they carry the value of a sync or name many members: how long they may be,
//! and what becomes of those that are longer.

/// How long the lines of a peer may be now.
#[derive(Debug, Clone, Copy)]
pub struct LineBound {
    pub max: usize,
    /// It is not longer because others hold much.
    pub crowded: bool,
}
