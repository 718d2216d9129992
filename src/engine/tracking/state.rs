//! What a client chose with CLIENT TRACKING.

/// Which reads are tracked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Reads {
    #[default]
    All,
    /// None but those that CLIENT CACHING YES asks for.
    OptIn,
    /// All but those that CLIENT CACHING NO leaves out.
    OptOut,
}

/// The state of a client that tracks.
#[derive(Debug, Default)]
pub struct TrackingState {
    pub reads: Reads,
    /// CLIENT CACHING was given for the next command.
    pub caching: bool,
    /// The client does not hear of its own changes.
    pub no_loop: bool,
    /// The client that hears in its place; 0: none.
    pub redirect: u64,
    /// With BCAST, the prefixes; the empty one is one too.
    pub prefixes: Vec<Box<[u8]>>,
}

impl TrackingState {
    pub fn is_broadcast(&self) -> bool {
        !self.prefixes.is_empty()
    }

    /// Whether what is read now is tracked.
    pub fn remembers(&self) -> bool {
        let wanted = match self.reads {
            Reads::All => true,
            Reads::OptIn => self.caching,
            Reads::OptOut => !self.caching,
        };
        wanted && !self.is_broadcast()
    }
}
