//! What every file that is written goes through, from its last byte to its place.

use std::os::fd::BorrowedFd;
use std::sync::Arc;

use crate::error::Failure;
use crate::platform::Descriptor;
use crate::stage::{Commit, Holes, Outcome, Phase, Rollback};

use super::super::make_durable;
use super::super::revocable::{Revocable, Revoke};

/// A file on its way to its place.
pub trait Draft: Revoke + 'static {
    /// Whether the end waits for the disk.
    fn is_durable(&self) -> bool;
    /// How holes can be left in it.
    fn holes(&self) -> Holes;
    /// `count` more bytes were written.
    fn wrote(&self, count: u64) {
        let _ = count;
    }
    /// Gives the file the permissions and attributes that belong to its place.
    fn dress(&self, descriptor: &Descriptor) -> Result<(), Failure>;
    /// Puts it in its place.
    fn put_in_place(&self) -> Result<(), Failure> {
        Ok(())
    }
    /// It is in its place: sees to it that it stays there.
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
