//! How runs are shown to the person who started the operator.

/// How runs are shown.
#[derive(Debug, Clone, Default)]
pub struct Show {
    /// Whether to show the output of commands too.
    pub follow: bool,
    /// Whether to show nothing of a run. Messages about errors are shown.
    pub silent: bool,
    /// The columns and rows of the terminal. `None`: the output is not a terminal.
    pub terminal: Option<(u16, u16)>,
    /// Whether to use colours.
    pub colors: bool,
}
