//! The steps that every written file goes through, from its last byte to its final name.

use std::os::fd::BorrowedFd;
use std::sync::Arc;

use crate::error::Failure;
use crate::platform::Descriptor;
use crate::stage::{Commit, Holes, Outcome, Phase, Rollback};

use super::super::make_durable;
use super::super::revocable::{Revocable, Revoke};

/// A file that is not in its place yet.
pub trait Draft: Revoke + 'static {
    /// Whether the commit waits for the disk.
    fn is_durable(&self) -> bool;
    /// How holes can be made in it.
    fn holes(&self) -> Holes;
    /// Reports that `count` more bytes were written.
    fn wrote(&self, count: u64) {
        let _ = count;
    }
    /// Gives the file its final permissions and attributes.
    fn dress(&self, descriptor: &Descriptor) -> Result<(), Failure>;
    /// Renames it to its final name.
    fn put_in_place(&self) -> Result<(), Failure> {
        Ok(())
    }
    /// Makes the rename durable.
    fn conclude(&self) -> Result<(), Failure> {
        Ok(())
    }
}

impl<D: Draft> Commit for Arc<Revocable<D>> {
    fn phase(&self) -> Phase {
        Phase::Name
    }

    fn prepare(&mut self, descriptor: &Descriptor, _: BorrowedFd<'_>) -> Outcome {
        self.dress(descriptor)?;
        Ok(make_durable(descriptor, Draft::is_durable(&***self))?)
    }

    fn commit(self: Box<Self>, _: &Descriptor, _: BorrowedFd<'_>) -> Outcome {
        Revocable::commit(&self, D::put_in_place)?;
        Ok(self.conclude()?)
    }

    fn holes(&self) -> Holes {
        Draft::holes(&***self)
    }

    fn wrote(&self, count: u64) {
        Draft::wrote(&***self, count);
    }

    fn is_durable(&self) -> bool {
        Draft::is_durable(&***self)
    }

    fn rollback(&self) -> Option<Arc<dyn Rollback>> {
        Some(self.clone())
    }
}
