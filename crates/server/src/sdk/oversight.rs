//! Calls of a program's handlers: a panic ends the call and nothing else, and one that does not return is named in the log.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;
use std::task::Poll;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::timeout;
use tracing::{error, info, warn};

/// The calls of one thread. Cloning the receiver's side is not needed: [`oversee`] is its only reader.
pub(super) struct Calls(watch::Sender<Option<&'static str>>);

impl Calls {
    /// With the task that watches them, which ends when this is dropped.
    pub(super) fn new() -> (Self, impl Future<Output = ()> + Send + use<>) {
        let (sender, receiver) = watch::channel(None);
        (Self(sender), oversee(receiver))
    }

    /// Calls a handler; `None` if it panicked.
    pub(super) fn call<R>(&self, name: &'static str, call: impl FnOnce() -> R) -> Option<R> {
        self.0.send_replace(Some(name));
        let result = catch_unwind(AssertUnwindSafe(call));
        self.0.send_replace(None);
        result.map_err(|panic| report(name, &*panic)).ok()
    }

    /// The same for a future. Waiting is no call: a display may rest as long as it likes.
    pub(super) async fn call_async<F: Future>(&self, name: &'static str, future: F) -> Option<F::Output> {
        let mut future = pin!(future);
        std::future::poll_fn(|context| match self.call(name, || future.as_mut().poll(context)) {
            Some(Poll::Ready(output)) => Poll::Ready(Some(output)),
            Some(Poll::Pending) => Poll::Pending,
            None => Poll::Ready(None),
        })
        .await
    }
}

/// A handler's future that nobody watches; `None` if it panicked.
pub(super) async fn caught<F: Future>(name: &'static str, future: F) -> Option<F::Output> {
    let mut future = pin!(future);
    std::future::poll_fn(
        |context| match catch_unwind(AssertUnwindSafe(|| future.as_mut().poll(context))) {
            Ok(Poll::Ready(output)) => Poll::Ready(Some(output)),
            Ok(Poll::Pending) => Poll::Pending,
            Err(panic) => {
                report(name, &*panic);
                Poll::Ready(None)
            }
        },
    )
    .await
}

/// Names the calls that last too long.
async fn oversee(mut calls: watch::Receiver<Option<&'static str>>) {
    loop {
        let Ok(Some(name)) = calls.wait_for(Option::is_some).await.map(|name| *name) else {
            return;
        };
        match timeout(LONG, calls.changed()).await {
            Ok(Ok(())) => {}
            Ok(Err(_)) => return,
            Err(_) => {
                warn!(
                    handler = name,
                    seconds = LONG.as_secs(),
                    "a handler of the program does not return"
                );
                if calls.changed().await.is_err() {
                    return;
                }
                info!(handler = name, "the handler has returned");
            }
        }
    }
}

fn report(name: &'static str, panic: &(dyn Any + Send)) {
    let text = panic.downcast_ref::<&str>().copied();
    let text = text.or_else(|| panic.downcast_ref::<String>().map(String::as_str));
    error!(
        handler = name,
        panic = text.unwrap_or("no text"),
        "a handler of the program panicked"
    );
}

/// A call that lasts so long is named.
const LONG: Duration = Duration::from_secs(10);

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn panics_end_the_call_only() {
        let (calls, oversee) = Calls::new();
        assert_eq!(calls.call("one", || panic!("as {}", "asked")), None::<()>);
        assert_eq!(calls.call("two", || 2), Some(2));
        assert_eq!(calls.call_async("three", async { panic!("asked") }).await, None::<()>);
        let rests = async {
            tokio::time::sleep(LONG * 2).await;
            4
        };
        assert_eq!(calls.call_async("four", rests).await, Some(4));
        drop(calls);
        oversee.await;
    }
}
