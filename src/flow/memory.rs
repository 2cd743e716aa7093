//! The memory of a chunk: in the hand of one holder, or shared by several.

use super::Pool;
use super::block::Block;
use super::sync::Arc;

/// A block of one holder, or of several. Only a block of one holder is written to, which the last of several becomes.
#[derive(Debug)]
pub(super) enum Memory {
    Own(Block),
    Shared(Arc<Shared>),
}

/// A block that goes back to its pool, which counts it once, when the last holder lets go.
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

    /// The block, where it has no other holder.
    pub(super) fn as_mut(&mut self) -> Option<&mut Block> {
        match self {
            Self::Own(block) => Some(block),
            Self::Shared(shared) => Arc::get_mut(shared).map(|shared| &mut shared.block),
        }
    }

    /// Another hold of the same block, which is shared from now on.
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

    /// Lets go of it; the last holder gives the block back.
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
