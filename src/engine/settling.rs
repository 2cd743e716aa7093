//! Tells the sources how the run ended, before they are closed.

use std::sync::Arc;
use std::time::Duration;

use crate::stage::{Settle, Settled};

use super::interrupt::Interrupt;

/// How long a source may take for its reaction, cancelled or not.
const LIMIT: Duration = Duration::from_secs(2);

/// Tells each source. A source that takes too long, or is interrupted by a signal, is abandoned; returns whether all
/// were told in time.
pub async fn settle(sources: &[Arc<dyn Settle>], how: Settled, interrupt: &mut Interrupt) -> bool {
    if sources.is_empty() {
        return true;
    }
    let told = async {
        for source in sources {
            // On a task of its own, so that a panic in it ends nothing else.
            if let Err(error) = tokio::spawn(source.clone().settle(how)).await {
                tracing::error!("a source failed when it was told how the run ended: {error}");
            }
        }
    };
    tokio::select! {
        biased;
        in_time = tokio::time::timeout(LIMIT, told) => in_time.is_ok(),
        () = interrupt.signalled() => false,
    }
}
