//! The end of the daemon, announced: everything that was taken over is put back before the tasks that hold it are dropped.

use std::sync::Arc;

use tokio::sync::watch;

#[derive(Debug)]
struct Shared {
    is_asked: watch::Sender<bool>,
    /// Machines of which something may be taken over.
    holders: watch::Sender<usize>,
}

/// Asks for, and waits for, the putting back. Clones are the same.
#[derive(Debug, Clone)]
pub struct HandBack(Arc<Shared>);

impl Default for HandBack {
    fn default() -> Self {
        Self(Arc::new(Shared {
            is_asked: watch::Sender::new(false),
            holders: watch::Sender::new(0),
        }))
    }
}

impl PartialEq for HandBack {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl Eq for HandBack {}

impl HandBack {
    /// Has everything put back; nothing is taken over after that. Waits until it is done, whatever that takes.
    pub async fn all(&self) {
        self.0.is_asked.send_replace(true);
        let _ = self.0.holders.subscribe().wait_for(|count| *count == 0).await;
    }

    /// For who takes something over; `None` once that is over.
    pub(super) fn enter(&self) -> Option<Holder> {
        let holder = Holder(self.clone());
        self.0.holders.send_modify(|count| *count += 1);
        (!*self.0.is_asked.borrow()).then_some(holder)
    }
}

/// Somebody who is waited for until this is dropped.
pub(super) struct Holder(HandBack);

impl Holder {
    /// Resolves when all is to be put back. Cancel-safe.
    pub(super) async fn asked(&self) {
        let _ = self.0.0.is_asked.subscribe().wait_for(|is_asked| *is_asked).await;
    }
}

impl Drop for Holder {
    fn drop(&mut self) {
        self.0.0.holders.send_modify(|count| *count -= 1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn all_holders_are_waited_for_and_none_comes_after() {
        let hand_back = HandBack::default();
        let holder = hand_back.enter().expect("open");
        let waiting = tokio::spawn({
            let hand_back = hand_back.clone();
            async move { hand_back.all().await }
        });
        holder.asked().await;
        assert!(!waiting.is_finished());
        assert!(hand_back.enter().is_none());
        drop(holder);
        waiting.await.expect("all are gone");
    }
}
