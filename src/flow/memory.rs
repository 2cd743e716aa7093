//! The memory of a chunk: exclusive, or shared by several chunks.

use super::Pool;
use super::block::Block;
use super::sync::Arc;

/// An exclusive or a shared block. Only an exclusive block is written to; a shared one becomes exclusive when one
/// holder is left.
#[derive(Debug)]
pub(super) enum Memory {
    Own(Block),
    Shared(Arc<Shared>),
}

/// A shared block, which its pool counts once, and gets back when the last holder drops it.
#[derive(Debug)]
pub(super) struct Shared {
    block: Block,
    pool: Arc<Pool>,
}

impl Memory {
    pub(super) fn as_slice(&self) -> &[u8] {
        match self {
            Self::Own(block) => block,
            Self::Shared(shared) => &shared.block,
        }
    }

    /// Bytes of the block.
    pub(super) fn capacity(&self) -> usize {
        self.as_slice().len()
    }

    /// The block, if it has no other holder.
    pub(super) fn as_mut(&mut self) -> Option<&mut Block> {
        match self {
            Self::Own(block) => Some(block),
            Self::Shared(shared) => Arc::get_mut(shared).map(|shared| &mut shared.block),
        }
    }

    /// Another reference to the same block, which is shared from now on.
    pub(super) fn share(&mut self, pool: &Arc<Pool>) -> Self {
        if let Self::Own(block) = self {
            let shared = Shared {
                block: std::mem::take(block),
                pool: pool.clone(),
            };
            *self = Self::Shared(Arc::new(shared));
        }
        match self {
            Self::Shared(shared) => Self::Shared(shared.clone()),
            Self::Own(_) => unreachable!("it was shared a moment ago"),
        }
    }

    /// Drops this reference; the last one returns the block to its pool.
    pub(super) fn give_to(self, pool: &Pool) {
        match self {
            Self::Own(block) => pool.give(block),
            Self::Shared(shared) => drop(shared),
        }
    }
}

impl Default for Memory {
    fn default() -> Self {
        Self::Own(Block::default())
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        self.pool.give(std::mem::take(&mut self.block));
    }
}
