//! `highwater attach` on real pipelines of other programs.

#[cfg(not(feature = "portable-platform"))]
mod looking;
#[cfg(feature = "portable-platform")]
mod refusal;
