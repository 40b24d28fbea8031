//! How runs are shown to the person who started the operator.

/// How runs are shown.
#[derive(Debug, Clone, Default)]
pub struct Show {
    /// Whether to show what the commands write, too.
    pub follow: bool,
    /// The columns and rows of the terminal; `None`: there is no terminal.
    pub terminal: Option<(u16, u16)>,
    pub colors: bool,
}
