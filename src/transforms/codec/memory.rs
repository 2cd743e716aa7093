//! The memory that a decoder claims once it knows what it needs.

use std::sync::Arc;

use crate::stage::{Budget, Claim};

/// A decoder's claims. They only grow: a decoder keeps its largest window for the next member.
pub struct Memory {
    budget: Arc<Budget>,
    base: Option<Claim>,
    state: Option<Claim>,
    bytes: u64,
}

impl Memory {
    /// Nothing claimed.
    pub fn new(budget: Arc<Budget>) -> Self {
        Self {
            budget,
            base: None,
            state: None,
            bytes: 0,
        }
    }

    /// Claims what the decoder holds in any case, where the plan did not.
    pub fn claim_base(&mut self, bytes: u64) -> Result<(), u64> {
        self.base = Some(self.budget.claim(bytes)?);
        Ok(())
    }

    /// Claims `bytes` in all for what the input asks for.
    pub fn claim(&mut self, bytes: u64) -> Result<(), u64> {
        if bytes > self.bytes {
            self.state = None;
            self.state = Some(self.budget.claim(bytes)?);
            self.bytes = bytes;
        }
        Ok(())
    }
}
