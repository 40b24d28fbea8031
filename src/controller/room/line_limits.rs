//! The limit for lines that are longer than others, because they carry the value of a sync or name many members.

/// The longest line that a peer may send now.
#[derive(Debug, Clone, Copy)]
pub struct LineBound {
    pub max: usize,
    /// The limit is lower than usual because other processes hold much memory.
    pub crowded: bool,
}
