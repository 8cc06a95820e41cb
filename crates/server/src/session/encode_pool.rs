//! Encodes frames off the session tasks. Each stream has at most one job here and places are given in the order of
//! asking, so desktops with much to draw do not starve the others.

use std::sync::Arc;

use tokio::sync::Semaphore;
use tokio::task::JoinError;

/// As many encodes at once as the machine has cores.
#[derive(Clone)]
pub(crate) struct EncodePool {
    places: Arc<Semaphore>,
}

impl EncodePool {
    pub(crate) fn for_this_machine() -> Self {
        let cores = std::thread::available_parallelism().map_or(2, usize::from);
        Self {
            places: Arc::new(Semaphore::new(cores)),
        }
    }

    /// Does a piece of work when there is a place. The error is its panic.
    pub(crate) async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, JoinError> {
        let _place = self.places.acquire().await.expect("the semaphore is never closed");
        tokio::task::spawn_blocking(work).await
    }
}
