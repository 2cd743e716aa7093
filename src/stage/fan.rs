//! One stream into several.

use crate::flow::{Chunk, Closed, Outlet};

/// The outlets of a stage with several outputs. Each takes every chunk, in memory that all share; the slowest governs.
#[derive(Debug)]
pub struct Fan(Vec<Outlet>);

impl Fan {
    /// A fan of these outlets.
    #[must_use]
    pub fn new(outlets: Vec<Outlet>) -> Self {
        Self(outlets)
    }

    /// Sends a chunk to every branch that wants more.
    ///
    /// # Errors
    /// [`Closed`] when none of them does.
    pub async fn send(&mut self, mut chunk: Chunk) -> Result<(), Closed> {
        let mut wanting = Vec::with_capacity(self.0.len());
        for mut outlet in std::mem::take(&mut self.0) {
            if outlet.share(&mut chunk).await.is_ok() {
                wanting.push(outlet);
            }
        }
        self.0 = wanting;
        if self.0.is_empty() { Err(Closed) } else { Ok(()) }
    }

    /// Ends the stream of every branch.
    pub fn finish(self) {
        self.0.into_iter().for_each(Outlet::finish);
    }
}
